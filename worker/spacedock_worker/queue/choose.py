"""Which of the waiting jobs a host takes now: one pure function (docs/decisions/0029)."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import ceil

from spacedock._wire.lanes import weight

UNBOUND_JOBS = 16
"""So many jobs are in hand at once that name no Space: what they wait for is known once they are planned."""

UNBOUND_FIRST = 4
"""So many more of them for a lane that had less than those whose jobs are in hand."""

OFFERED_SECONDS = 0.2
"""For so long a job is offered to other hosts before a host takes it that has no place free for it."""

COLD_JOBS = 1
"""So many of a Space that has no container yet: what one of its containers takes at once is not known."""

SHORT_SECONDS = 1.0
"""Calls up to this long are claimed ahead, one for each place: so that no place waits for the next claim."""

BEHIND_SECONDS = 10.0
"""A lane that was not served for want of a host catches up on so many weighted seconds, and no more."""

AFFINITY_SECONDS = 10.0
"""Within a lane, jobs for Spaces that are up here go before older ones, until these have waited so long."""

_MOST_AHEAD = 64
_UNKNOWN_SECONDS = 1.0
_LEAST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Head:
    """The waiting jobs of a lane for one target: `age` is the seconds that the oldest has been due."""

    target: str
    age: float
    count: int


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane with what it has had (`virtual`, weighted seconds), and its targets, the oldest first."""

    name: str
    virtual: float
    heads: tuple[Head, ...]


@dataclass(frozen=True, slots=True)
class Pick:
    """Jobs to claim: `charge` weighted seconds for each; `lag` puts a lane forward that is far behind."""

    lane: str
    target: str
    count: int
    charge: float
    lag: float = 0.0


@dataclass(frozen=True, slots=True)
class Supply:
    """A Space's containers that are up or starting, the calls that each takes at once, and how long a call
    and a start take (seconds; None: not measured)."""

    containers: int
    calls: int = 1
    call: float | None = None
    start: float | None = None

    @property
    def places(self) -> int:
        """Calls at once."""
        return self.containers * self.calls

    def busy(self, jobs: int) -> int:
        """How many of its containers so many jobs keep busy; a Space without one will have one."""
        return min(max(1, self.containers), ceil(jobs / max(1, self.calls)))


@dataclass(frozen=True, slots=True)
class HostOffer:
    """What a host has: `containers` at once, `supplies` by Space; `short` where a call waits for room.

    `space_of` gives a target's Space by the name that `supplies` use: None where it needs no container, or
    nobody knows yet which. `serves` says whether the host can run the target at all.
    """

    containers: int
    supplies: Mapping[str, Supply] = field(default_factory=dict)
    short: bool = False
    space_of: Callable[[str], str | None] = lambda target: target or None
    serves: Callable[[str], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class InHand:
    """How many jobs a host holds: by the target that they were claimed for, by the Space they use, and
    by lane with the Space they use (without one: the target)."""

    by_target: Mapping[str, int] = field(default_factory=dict)
    by_space: Mapping[str, int] = field(default_factory=dict)
    by_lane: Mapping[tuple[str, str], int] = field(default_factory=dict)


def choose(
    lanes: tuple[Lane, ...],
    virtual: float,
    free: int,
    offer: HostOffer | None,
    in_hand: InHand,
    seconds: Mapping[str, float],
    hosts: int = 1,
    left: Collection[str] = (),
) -> list[Pick]:
    """What to claim of the waiting jobs, at most `free`; without an offer whatever comes.

    The lane that had least comes first; each job is charged at once with what its like took (`seconds`, by
    target). A lane that waits for room keeps that room from lanes that had more; nobody claims ahead then.
    Of the targets that are `left` to others nothing is claimed but what can begin at once, and of those that
    name no Space one job at a time.
    """
    return _Choice(lanes, virtual, free, offer, in_hand, seconds, hosts, left).picks()


class _Choice:
    """One choice while it is made; what is picked counts at once."""

    def __init__(
        self,
        lanes: tuple[Lane, ...],
        virtual: float,
        free: int,
        offer: HostOffer | None,
        in_hand: InHand,
        seconds: Mapping[str, float],
        hosts: int,
        left: Collection[str],
    ) -> None:
        self._free, self._offer, self._seconds, self._hosts = free, offer, seconds, max(1, hosts)
        self._left_to_others = frozenset(left)
        self._by_target, self._by_space = Counter(in_hand.by_target), Counter(in_hand.by_space)
        self._by_lane = Counter(in_hand.by_lane)
        self._lanes = {lane.name: lane for lane in lanes}
        self._left = {(lane.name, head.target): head.count for lane in lanes for head in lane.heads}
        self._start = {lane.name: max(lane.virtual, virtual - BEHIND_SECONDS) for lane in lanes}
        self._before: Mapping[str, int] = {}
        self._picked: Counter[tuple[str, str]] = Counter()
        self._waiting: set[str] = {""} if offer is not None and offer.short else set()

    def picks(self) -> list[Pick]:
        """Lane after lane, a job at a time; then, where nobody waits for room, some ahead."""
        self._serve(ahead=False)
        self._before = Counter(self._by_space)
        if self._offer is not None and not self._waiting:
            self._serve(ahead=True)
        return [
            Pick(lane, target, count, self._charge(lane, target), self._lag(lane))
            for (lane, target), count in self._picked.items()
        ]

    def _lag(self, lane: str) -> float:
        return self._start[lane] - self._lanes[lane].virtual

    def _serve(self, *, ahead: bool) -> None:
        turns = [(self._stands(lane), name) for name, lane in self._lanes.items()]
        heapq.heapify(turns)
        while turns and self._free > 0:
            stands, name = heapq.heappop(turns)
            target = self._target_of(self._lanes[name], ahead)
            if target is not None:
                self._take(name, target)
                heapq.heappush(turns, (stands + self._charge(name, target), name))

    def _stands(self, lane: Lane) -> float:
        picked = sum(
            count * self._charge(name, target)
            for (name, target), count in self._picked.items()
            if name == lane.name
        )
        return self._start[lane.name] + picked

    def _target_of(self, lane: Lane, ahead: bool) -> str | None:
        """The target of which the lane's next job is taken; None where none can be taken now."""
        waiting: set[str] = set()
        for head in sorted(lane.heads, key=self._turn):
            if self._left[lane.name, head.target] == 0:
                continue
            if self._fits(head.target, ahead=ahead) or self._goes_first(lane, head):
                return head.target
            waiting |= self._waits_for_room(head.target)
        self._waiting |= waiting
        return None

    def _turn(self, head: Head) -> tuple[bool, bool, float]:
        """Jobs that have waited for long, then those whose Space is up, the oldest first."""
        space = self._offer.space_of(head.target) if self._offer is not None else None
        up = space is None or (self._offer is not None and space in self._offer.supplies)
        return head.age < AFFINITY_SECONDS, not up, -head.age

    def _fits(self, target: str, *, ahead: bool) -> bool:
        if self._offer is None:
            return True
        space = self._offer.space_of(target)
        is_left = target in self._left_to_others
        if space is None:
            return not ahead and self._by_target[target] < (1 if is_left else UNBOUND_JOBS)
        if ahead and is_left:
            return False
        jobs, supply = self._by_space[space], self._offer.supplies.get(space, Supply(0))
        if supply.containers == 0:
            return not ahead and jobs < COLD_JOBS and self._has_room(space, supply)
        if ahead:
            return jobs < self._most_of(space, supply, target)
        return jobs < supply.places and self._has_room(space, supply)

    def _goes_first(self, lane: Lane, head: Head) -> bool:
        """Whether what is in hand for others, which had more, would be served before the lane's next job.

        It is claimed then, for a container that is up or for a model: their places are given lane by lane.
        Where there are other hosts, one that has a place for it takes it first.
        """
        if self._offer is None or (self._hosts > 1 and head.age < OFFERED_SECONDS):
            return False
        space = self._offer.space_of(head.target)
        supply = Supply(0) if space is None else self._offer.supplies.get(space, Supply(0))
        most, uses = (UNBOUND_FIRST, head.target) if space is None else (supply.places, space)
        if self._by_lane[lane.name, uses] >= most:
            return False
        others = [
            name for (name, used), n in self._by_lane.items() if used == uses and n and name != lane.name
        ]
        stands, known = self._stands(lane), [self._lanes[name] for name in others if name in self._lanes]
        return bool(others) and all(stands <= self._stands(other) for other in known)

    def _has_room(self, space: str, supply: Supply) -> bool:
        """Whether one job more of the Space leaves others their containers, and lanes that wait theirs."""
        assert self._offer is not None
        jobs = self._by_space[space]
        if not self._waiting and jobs > 0 and supply.busy(jobs) == supply.busy(jobs + 1):
            return True
        busy = self._busy(self._by_space) - supply.busy(jobs) + supply.busy(jobs + 1)
        return busy <= self._offer.containers - len(self._waiting)

    def _waits_for_room(self, target: str) -> set[str]:
        """The target's Space, where it has neither a container nor a job that will bring one up."""
        if self._offer is None or (space := self._offer.space_of(target)) is None:
            return set()
        cold = space not in self._offer.supplies and self._by_space[space] == 0
        return {space} if cold else set()

    def _busy(self, by_space: Mapping[str, int]) -> int:
        """How many containers those jobs keep busy."""
        assert self._offer is not None
        supplies = self._offer.supplies
        return sum(supplies.get(space, Supply(0)).busy(jobs) for space, jobs in by_space.items())

    def _most_of(self, space: str, supply: Supply, target: str) -> int:
        """How many jobs of a Space are in hand at most, those ahead of its calls included.

        Of short calls one for each that is under way. Where there is room for one more container, as many as
        would wait longer than it takes to start: that is what makes the pool start it. Other hosts have
        their share of those that wait.
        """
        assert self._offer is not None
        jobs = self._before[space]
        others = self._busy(self._before) - supply.busy(jobs)
        under_way = min(jobs, min(supply.busy(jobs), self._offer.containers - others) * supply.calls)
        short = supply.call is not None and supply.call <= SHORT_SECONDS
        most = under_way * 2 if short else under_way
        if self._busy(self._by_space) < self._offer.containers:
            worth = int(supply.start * supply.places / supply.call) if supply.call and supply.start else 0
            waiting = sum(count for (_, name), count in self._left.items() if name == target)
            share = ceil((waiting + self._by_space[space] - jobs) / self._hosts)
            most = max(most, min(supply.places + 1 + worth, jobs + share))
        return min(most, under_way + _MOST_AHEAD)

    def _take(self, lane: str, target: str) -> None:
        self._picked[lane, target] += 1
        self._left[lane, target] -= 1
        self._free -= 1
        self._by_target[target] += 1
        space = self._offer.space_of(target) if self._offer is not None else None
        self._by_lane[lane, space or target] += 1
        if space is not None:
            self._by_space[space] += 1

    def _charge(self, lane: str, target: str) -> float:
        return max(_LEAST_SECONDS, self._seconds.get(target, _UNKNOWN_SECONDS)) / weight(lane)
