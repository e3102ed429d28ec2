"""Taking what ended jobs left in Redis before its time is over: records, inputs and results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys, stream
from spacedock._wire.retention import UPLOAD_GRACE_S
from spacedock._wire.scripts import registered

_PAGE = 500
_BATCHES = 10
"""Of batches, as each may have thousands of jobs to be looked at."""

_TURN_SECONDS = 3000
IDLE_SECONDS = 60
"""How long a file must have lain untouched, even where everything shall go."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many things went, and the bytes that they held; `stored` are the places of files in the store."""

    count: int = 0
    bytes: int = 0
    stored: frozenset[str] = frozenset()

    def __add__(self, other: Swept) -> Swept:
        return Swept(self.count + other.count, self.bytes + other.bytes, self.stored | other.stored)


async def sweep_records(redis: Redis, older_than: float, *, dry_run: bool) -> Swept:
    """Remove the records of jobs that ended `older_than` seconds ago; with `dry_run` only count them."""
    script, total = registered(redis, "sweep_records", __package__), Swept()
    async for page in _pages(redis, keys.job("*")):
        total += Swept(*await script(keys=page, args=[older_than, int(dry_run)]))
    return total


async def sweep_answers(redis: Redis, older_than: float, *, dry_run: bool) -> Swept:
    """Remove the answers that were kept for later calls (`cache`) so long ago; with `dry_run` only count."""
    script, total = registered(redis, "sweep_answers", __package__), Swept()
    async for page in _pages(redis, keys.ANSWER + "*"):
        total += Swept(*await script(keys=page, args=[older_than, int(dry_run)]))
    return total


async def sweep_past(redis: Redis, older_than: float) -> None:
    """Forget batches of which no job is kept, and events from before that time."""
    script, now = registered(redis, "sweep_batches", __package__), (await redis.time())[0]
    async for page in _pages(redis, keys.BATCH + "*", _BATCHES):
        await script(keys=page)
    # The last one stays: readers go by its number.
    first = min(await stream.before(redis, now - older_than) + 1, await stream.newest(redis))
    await redis.xtrim(keys.EVENTS, minid=f"0-{first}", approximate=False)


async def sweep_files(redis: Redis, older_than: float, *, dry_run: bool) -> Swept:
    """Remove the inputs and results that only such jobs needed; with `dry_run` only count them.

    Those in the store are forgotten, and count where `sweep_store` removes them.
    """
    script, total = registered(redis, "sweep_files", __package__), Swept()
    idle = max(IDLE_SECONDS, min(older_than, UPLOAD_GRACE_S))
    async for page in _pages(redis, keys.payload("*")):
        count, size, stored = await script(keys=page, args=[older_than, int(dry_run), idle])
        places = (key.decode(errors="replace").removeprefix(keys.PAYLOAD) for key in stored)
        total += Swept(count, size, frozenset(places))
    return total


async def sweep_store(payloads: Payloads, forgotten: Collection[str] = (), *, dry_run: bool) -> Swept:
    """Remove files from the queue's store that nothing in Redis knows of.

    A dry run takes it that those `forgotten` are not known either.
    """
    total = Swept()
    async for size in payloads.strays(IDLE_SECONDS, forgotten, dry_run=dry_run):
        total += Swept(1, size)
    return total


async def has_turn(redis: Redis) -> bool:
    """Whether this host is the one that tidies the store up by the clock, this hour."""
    return bool(await redis.set(keys.SWEPT, "1", nx=True, ex=_TURN_SECONDS))


async def _pages(redis: Redis, pattern: str, most: int = _PAGE) -> AsyncIterator[list[bytes]]:
    """The keys of that pattern, so many at a time: a script holds up the server while it runs."""
    page: dict[bytes, None] = {}
    async for key in redis.scan_iter(match=pattern, count=_PAGE):
        page[key] = None
        if len(page) >= most:
            yield list(page)
            page.clear()
    if page:
        yield list(page)
