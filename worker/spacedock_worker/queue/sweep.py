"""Taking what ended jobs left in Redis before its time is over: records, inputs and results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.scripts import script
from spacedock._wire.submission import UPLOAD_GRACE_S

_PAGE = 500

_RECORDS = script("sweep_records", __package__)

_FILES = script("sweep_files", __package__)

IDLE_SECONDS = 60
"""How long a file must have lain untouched, even where everything shall go."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many things went, and the bytes that Redis held for them."""

    count: int = 0
    bytes: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(self.count + other.count, self.bytes + other.bytes)


async def sweep_records(redis: Redis, older_than: float, *, dry_run: bool) -> Swept:
    """Remove the records of jobs that ended `older_than` seconds ago; with `dry_run` only count them."""
    script, total = redis.register_script(_RECORDS), Swept()
    async for page in _pages(redis, keys.job("*")):
        total += Swept(*await script(keys=page, args=[older_than, int(dry_run)]))
    return total


async def sweep_files(redis: Redis, older_than: float, *, dry_run: bool) -> Swept:
    """Remove the inputs and results that only such jobs needed; with `dry_run` only count them."""
    script, total = redis.register_script(_FILES), Swept()
    idle = max(IDLE_SECONDS, min(older_than, UPLOAD_GRACE_S))
    async for page in _pages(redis, keys.payload("*")):
        total += Swept(*await script(keys=page, args=[older_than, int(dry_run), idle]))
    return total


async def _pages(redis: Redis, pattern: str) -> AsyncIterator[list[bytes]]:
    """The keys of that pattern, some hundreds at a time: a script holds up the server while it runs."""
    page: dict[bytes, None] = {}
    async for key in redis.scan_iter(match=pattern, count=_PAGE):
        page[key] = None
        if len(page) >= _PAGE:
            yield list(page)
            page.clear()
    if page:
        yield list(page)
