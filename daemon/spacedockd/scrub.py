"""Taking deleted prompts out of the embedded Valkey's append-only file, which would keep them for long."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from spacedock import keys
from spacedock.connection import connect
from spacedock.records import ask_to_scrub

SCRUB_SECONDS = 30.0
"""How soon after a private job was deleted the file is written anew."""


async def scrub(url: str, seconds: float = SCRUB_SECONDS) -> None:
    """Look every so many seconds whether private jobs were deleted, and then have the file rewritten.

    A server that is away is asked again: what it has to forget is noted in its own keys.
    """
    async with connect(url) as redis:
        while True:
            await asyncio.sleep(seconds)
            with suppress(RedisError, OSError):
                if await redis.getdel(keys.SCRUB) is not None:
                    await _rewrite(redis)


async def _rewrite(redis: Redis) -> None:
    try:
        await redis.bgrewriteaof()  # type: ignore[no-untyped-call]
    except ResponseError:
        # A rewrite is under way that began before the deletion.
        await ask_to_scrub(redis)
