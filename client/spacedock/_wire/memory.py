"""The server's memory: what new jobs may take of it, and what holds it where it is full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from spacedock._wire import keys
from spacedock.errors import QueueFullError

FILES_SHARE = 0.7
"""New files are refused beyond this share of `maxmemory`."""


_PAGE = 500
_SIZES = {
    keys.payload("*"): (("STRLEN",),),
    keys.ANSWER + "*": (("STRLEN",),),
    keys.job("*"): (("HSTRLEN", "request"), ("HSTRLEN", "result")),
}
"""The commands that tell how large the keys of a pattern are."""

_LOOK_SECONDS = 3.0


async def check_room(redis: Redis, size: int) -> None:
    """Raise QueueFullError where so many bytes more are too many."""
    with suppress(NoPermissionError):
        used, limit = await _levels(redis)
        if limit and used + size > limit * FILES_SHARE:
            raise await full_error(redis)


async def full_error(redis: Redis, submitted: tuple[str, ...] = ()) -> QueueFullError:
    """What is to be told where a submission is refused; `submitted` are the jobs that came through before."""
    used = limit = unfinished = ended = 0
    with suppress(NoPermissionError, TimeoutError):
        used, limit = await _levels(redis)
        async with asyncio.timeout(_LOOK_SECONDS):
            async for ends, size in _held(redis):
                unfinished, ended = (unfinished, ended + size) if ends else (unfinished + size, ended)
    return QueueFullError(used, int(limit * FILES_SHARE), unfinished, ended, submitted)


async def _levels(redis: Redis) -> tuple[int, int]:
    """The bytes that the server holds, and those that it may (0: any)."""
    told = await redis.info("memory")
    return int(told["used_memory"]), int(told.get("maxmemory", 0))


async def _held(redis: Redis) -> AsyncIterator[tuple[bool, int]]:
    """The bytes of each file and job, and whether they go by themselves, as those of ended jobs do."""
    for pattern, sizes in _SIZES.items():
        place, begun = 0, False
        while place or not begun:
            begun = True
            place, found = await redis.scan(place, match=pattern, count=_PAGE)
            async with redis.pipeline(transaction=False) as pipe:
                for key in found:
                    for command, *rest in (("TTL",), *sizes):
                        pipe.execute_command(command, key, *rest)
                # A key of another kind, which is not ours, is answered by an error.
                rows = await pipe.execute(raise_on_error=False)
            told = [row if isinstance(row, int) else 0 for row in rows]
            width = len(sizes) + 1
            for start in range(0, len(told), width):
                yield told[start] >= 0, sum(told[start + 1 : start + width])
