"""How much waits in the queue, and for how long, by the kind of its lane and its priority."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.lanes import batch_of
from spacedock.hosts import ids

_MOST_LANES = 500
_MOST_TARGETS = 200
"""Of a lane: what waits for the Spaces beyond them is not counted."""

Kind = tuple[str, str]
"""What a lane is of ("batch" or "client"), and its priority."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Jobs `waiting`, and the age of the `oldest` (s), by the lane's kind; and what there is in all."""

    waiting: dict[Kind, int] = field(default_factory=dict)
    oldest: dict[Kind, float] = field(default_factory=dict)
    lanes: int = 0
    running: int = 0
    unfinished: int = 0
    hosts: int = 0


async def measure(redis: Redis) -> Depth:
    """Look now, in five round trips whatever waits or has ended. Raises redis-py's errors."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.zrange(keys.LANES, 0, _MOST_LANES - 1)
        pipe.zcard(keys.LANES)
        pipe.zcard(keys.HELD)
        pipe.zcard(keys.QUEUE)
        raw, lanes, running, unfinished = await pipe.execute()
    known = await ids(redis)
    hosts = await redis.exists(*(keys.HOST + host_id for host_id in known)) if known else 0
    names = [lane.decode(errors="replace") for lane in raw]
    depth, now = Depth(lanes=lanes, running=running, unfinished=unfinished, hosts=hosts), time.time()
    async for name, waiting, since in lanes_now(redis, names, _MOST_TARGETS):
        kind = ("batch" if batch_of(name) is not None else "client", name.partition(":")[0])
        depth.waiting[kind] = depth.waiting.get(kind, 0) + sum(waiting.values())
        depth.oldest[kind] = max(depth.oldest.get(kind, 0.0), now - since)
    return depth


async def lanes_now(
    redis: Redis, names: Sequence[str], most: int
) -> AsyncIterator[tuple[str, dict[str, int], float]]:
    """Yield of each lane in which jobs wait how many do, by the first `most` of its targets, and since when.

    That is a time of Redis's clock, in seconds since 1970.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.zrange(keys.LANE + name, 0, most - 1, withscores=True)
        targets: list[list[tuple[bytes, float]]] = await pipe.execute()
        for name, found in zip(names, targets, strict=True):
            for target, _ in found:
                pipe.zcard(f"{keys.WAITING}{name}|".encode() + target)
        counts = iter(await pipe.execute())
    for name, found in zip(names, targets, strict=True):
        waiting = {target.decode(errors="replace"): int(next(counts)) for target, _ in found}
        if found:
            yield name, waiting, float(found[0][1]) / 1000


async def workers(redis: Redis) -> int:
    """How many workers are alive."""
    return len([key async for key in redis.scan_iter(match=keys.worker("*"), count=1000)])
