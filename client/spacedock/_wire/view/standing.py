"""What a waiting job waits for: the jobs before it, and hosts that can run it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from spacedock import hosts as there
from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock._wire.lanes import batch_of, is_named
from spacedock.hosts import Host

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job waits: behind so many jobs of its lane for the same target, in turn with other `lanes`.

    It `rests` for so many seconds more; `batch` says that the lane is a batch's.
    """

    target: str
    ahead: int = 0
    lanes: int = 0
    rests: float = 0.0
    batch: bool = False


_WAITING = "waiting "
"""How a worker's words begin that say what a job waits for which it gives back."""


def reason(place: Place, hosts: Sequence[Host], serving: Collection[str], said: str = "") -> str:
    """What the job waits for, in words. `serving` are the ids of the hosts that can run its Space.

    `said` is what a worker told of the job last.
    """
    alive = [host for host in hosts if host.alive]
    fit = [host for host in hosts if host.id in serving] if is_named(place.target) else []
    if not alive:
        return "no host works on this queue: start one with `spacedockd`"
    if place.rests >= 1:
        why = f": {said}" if said.startswith(_WAITING) else ", as its worker or its host had trouble"
        return f"tried again in {place.rests:.0f} s{why}"
    if fit and not any(host.alive for host in fit):
        gpu = any(place.target in host.lacks_gpu_for for host in alive)
        what = f"a host with a GPU for '{place.target}'" if gpu else f"a host that has '{place.target}'"
        return f"waits for {what}: {_named(fit)} gone"
    able = [host for host in fit or alive if host.alive]
    open_ = [host for host in able if not host.paused]
    if not open_:
        resume = f"`spacedock hosts resume {able[0].name or able[0].id}`"
        return f"waits for a paused host: {_named(able)} paused ({resume})"
    return "; ".join([_before(place), *_busy(open_)])


def _before(place: Place) -> str:
    whose = "its batch" if place.batch else "the same client"
    one = "job" if place.ahead == 1 else "jobs"
    first = f"behind {place.ahead:,} {one} of {whose}" if place.ahead else "the next of " + whose
    others = "lane" if place.lanes == 1 else "lanes"
    return first + (f", in turn with {place.lanes:,} other {others}" if place.lanes else "")


def _busy(hosts: Sequence[Host]) -> list[str]:
    """What keeps the hosts busy, where none has room."""
    if any(host.jobs < max(1, host.containers) for host in hosts):
        return []
    told = [
        f"{host.name or host.id} has {host.jobs:,} job{'' if host.jobs == 1 else 's'} in hand"
        for host in hosts[:_SHOWN]
    ]
    return [f"waits for room: {', '.join(told)}"]


def _named(hosts: Sequence[Host]) -> str:
    names = ", ".join(host.name or host.id for host in hosts[:_SHOWN])
    more = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
    return f"{names}{more} {'is' if len(hosts) == 1 else 'are'}"


async def told(redis: Redis, job_id: str, said: str) -> str:
    """What a waiting job waits for; nothing where it waits no longer, or this user may not look.

    `said` is what a worker told of it last.
    """
    try:
        if (place := await _place(redis, job_id)) is None:
            return ""
        serving = await there.serving(redis, place.target) if is_named(place.target) else []
        return reason(place, await there.hosts(redis), {host.id for host in serving}, said)
    except NoPermissionError:
        return ""


async def _place(redis: Redis, job_id: str) -> Place | None:
    lane, target = await answer(redis.hmget(keys.job(job_id), ["lane", "target"]))
    waiting = keys.WAITING.encode() + (lane or b"") + b"|" + (target or b"")
    async with redis.pipeline(transaction=False) as pipe:
        pipe.zrank(waiting, job_id)
        pipe.zscore(waiting, job_id)
        pipe.zcard(keys.LANES)
        pipe.time()
        rank, due, lanes, now = await pipe.execute()
    if rank is None or due is None:
        return None
    name = (lane or b"").decode(errors="replace")
    rests = due / 1000 - now[0] - now[1] / 1e6
    return Place(
        (target or b"").decode(errors="replace"), rank, max(0, lanes - 1), rests, bool(batch_of(name))
    )
