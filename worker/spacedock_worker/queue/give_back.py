"""Which claimed jobs go back because another host can start them sooner: one pure function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from spacedock.hosts import Host
from spacedock_worker.queue.choose import AFFINITY_SECONDS, HostOffer, InHand, Supply

WARM_SECONDS = 1.0
"""A job that waits here so long goes to a host that has its Space up, and a container free."""


_LEFT_SECONDS = 5.0
"""How long a host claims no more than it can begin at once of a target that it has left to others."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job in hand that is not begun: whose container it waits for, and the seconds since its claim."""

    id: str
    target: str
    space: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OtherHost:
    """Another host that takes jobs, and those of the targets that it can run."""

    host: Host
    serves: Collection[str]

    @property
    def free(self) -> int:
        """How many containers it has without a job, as far as others know."""
        return max(0, self.host.containers - self.host.jobs)


def to_give_back(
    waiting: Iterable[WaitingJob], offer: HostOffer, in_hand: InHand, others: Sequence[OtherHost]
) -> list[WaitingJob]:
    """Those of the waiting jobs that go back to the queue, the newest first; no more than others have free.

    They are jobs beyond those that this host's containers take, up or starting. Where another host has the
    Space up, they go after a second; where it would have to start it, after the time that a job waits for
    affinity.
    """
    given, free = [], Counter({other.host.id: other.free for other in others})
    for space, jobs in _beyond(waiting, offer, in_hand).items():
        for job in jobs:
            able = [one for one in others if free[one.host.id] > 0 and job.target in one.serves]
            warm = [one for one in able if space in one.host.warm and job.seconds >= WARM_SECONDS]
            if taker := next(iter(warm or (able if job.seconds >= AFFINITY_SECONDS else ())), None):
                free[taker.host.id] -= 1
                given.append(job)
    return given


def _beyond(
    waiting: Iterable[WaitingJob], offer: HostOffer, in_hand: InHand
) -> Mapping[str, Sequence[WaitingJob]]:
    """By Space the waiting jobs, the newest first, that no container of this host will take soon."""
    by_space: dict[str, list[WaitingJob]] = {}
    for job in sorted(waiting, key=lambda job: job.seconds):
        by_space.setdefault(job.space, []).append(job)
    for space, jobs in by_space.items():
        # Of a Space that is not up a container is started for one job, unless there is no room for it.
        places = offer.supplies.get(space, Supply(0)).places or (0 if offer.short else 1)
        del jobs[max(0, in_hand.by_space.get(space, 0) - places) :]
    return by_space


class Leaving:
    """Chooses now and then what to give back, and remembers for a while which targets are left to others.

    `others` tells of the other hosts that take jobs, and which of these targets each can run.
    """

    def __init__(self, others: Callable[[Sequence[str]], Awaitable[Sequence[OtherHost]]]) -> None:
        self._others = others
        self._until: dict[str, float] = {}

    def targets(self, now: float) -> list[str]:
        """The targets that are left to others: taken again at once, jobs would never come to them."""
        return [target for target, until in self._until.items() if until > now]

    async def chosen(
        self, waiting: Sequence[WaitingJob], offer: HostOffer, in_hand: InHand, now: float
    ) -> list[str]:
        """The ids of the jobs to give back. Raises redis-py's errors."""
        self._until = {target: until for target, until in self._until.items() if until > now}
        late = [job for job in waiting if job.seconds >= WARM_SECONDS]
        if not late:
            return []
        others = await self._others(sorted({job.target for job in late}))
        given = to_give_back(late, offer, in_hand, others)
        self._until |= {job.target: now + _LEFT_SECONDS for job in given}
        return [job.id for job in given]
