"""The clean-up: what it looks at, what it removes, in which order; the same when asked and by the clock."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock._wire.retention import DAY_S
from spacedock._wire.rpc import OnProgress
from spacedock_worker.background import forever
from spacedock_worker.caching import unheard
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.cleanup.inventory import Inventory, InventoryContainer, InventoryVolume
from spacedock_worker.cleanup.report import Report
from spacedock_worker.cleanup.scratch import Scratch
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.containers.docker.volumes import volume_name
from spacedock_worker.containers.pool.view import PoolView
from spacedock_worker.errors import StepError
from spacedock_worker.queue.patience import TROUBLE
from spacedock_worker.queue.sweep import (
    Swept,
    has_turn,
    sweep_answers,
    sweep_files,
    sweep_past,
    sweep_records,
    sweep_store,
)
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.image_usage import ImageUsage

log = structlog.get_logger()

RECENT_SECONDS = 600.0
"""How long an image stays after its use, even where room is needed: its container may be about to start."""

_ENDED = frozenset({"exited", "dead", "created"})


@dataclass(frozen=True, slots=True)
class CleanupRequest:
    """What to clean up: nothing that was needed within `older_than` seconds.

    Images go where `images` asks for all that nothing uses; `need` bytes of images must become free besides:
    for that, an image may go that was used RECENT_SECONDS ago. Without `results` jobs' records and files stay
    until their own time is over.
    """

    older_than: float
    dry_run: bool = False
    images: bool = False
    need: int = 0
    results: bool = True


class Cleaner:
    """Cleans up after one daemon, by its labels and notes: what has neither is not even looked at."""

    def __init__(
        self,
        inventory: Inventory,
        registry: Registry,
        notes: ImageUsage,
        image_cleanup: ImageCleanup,
        scratch: Scratch,
        pool_view: PoolView[Any] | None,
        clock: Callable[[], float] = time.time,
        files: str | None = None,
    ) -> None:
        self._inventory, self._registry, self._notes = inventory, registry, notes
        self._image_cleanup, self._scratch, self._pool_view = image_cleanup, scratch, pool_view
        self._clock, self._files = clock, files
        # Two clean-ups at once would each count what the other removes.
        self._one = asyncio.Lock()

    async def clean(self, order: CleanupRequest, redis: Redis, tell: OnProgress) -> Report:
        """Do it, and say what became of it; what an absent engine or Redis keeps us from is in the report."""
        report, before = Report(order.dry_run), self._clock() - order.older_than
        async with self._one:
            if order.results:
                tell("looking at results and files")
            await self._files_of_jobs(report, order, redis)
            async with _told(report, "scratch files"):
                await self._scratch.clean(report, before)
            tell("looking at containers")
            async with _told(report, "containers"):
                await self._containers(report, before)
            tell("looking at caches")
            async with _told(report, "caches"):
                await self._caches(report, before)
            if order.images or order.need:
                tell("looking at images")
                async with _told(report, "images"):
                    await self._images(report, order, before, tell)
        return report

    async def _files_of_jobs(self, report: Report, order: CleanupRequest, redis: Redis) -> None:
        """By the clock only what the store has too many: the rest ends by itself."""
        files, payloads = Swept(), Payloads(redis, self._files)
        if order.results:
            async with _told(report, "results"):
                records = await sweep_records(redis, order.older_than, dry_run=order.dry_run)
                report.add("results", records.bytes, count=records.count)
                answers = await sweep_answers(redis, order.older_than, dry_run=order.dry_run)
                report.add("answers", answers.bytes, count=answers.count)
                if not order.dry_run:
                    await sweep_past(redis, order.older_than)
        async with _told(report, "files"):
            if order.results:
                files = await sweep_files(redis, order.older_than, dry_run=order.dry_run)
                report.add("files", files.bytes, count=files.count)
            elif not await has_turn(redis):
                return
            strays = await sweep_store(payloads, files.stored, dry_run=order.dry_run)
            report.add("files", strays.bytes, count=strays.count)

    async def remove_space(self, space: str, report: Report) -> None:
        """Remove what a Space that has left the registry had here: its containers and its cache."""
        async with self._one, _told(report, f"the containers of {space}"):
            if self._pool_view is not None:
                await self._pool_view.forget(space)
            held = self._pool_view.held() if self._pool_view is not None else frozenset[str]()
            for one in await self._ours():
                if one.space == space and one.name not in held:
                    await self._remove_container(report, one)
            for cache in await self._inventory.caches():
                if cache.space == space:
                    await self._remove_cache(report, cache)

    async def begin_anew(self, space: str, *, known: bool) -> None:
        """Remove what other code of that name left here, so that no Space finds another's cache as its own.

        Of a name that was not `known` until now there can be a cache alone.
        """
        report = Report(dry_run=False)
        if known:
            await self.remove_space(space, report)
            return
        async with self._one, _told(report, f"the cache of {space}"):
            await self._inventory.remove_cache(volume_name(self._inventory.owner, space))

    async def _images(self, report: Report, order: CleanupRequest, before: float, tell: OnProgress) -> None:
        if order.images:
            await self._image_cleanup.clean(report, before, None, tell)
        if order.need:
            recent = self._clock() - min(order.older_than, RECENT_SECONDS)
            await self._image_cleanup.clean(report, recent, order.need, tell)

    async def _containers(self, report: Report, before: float) -> None:
        held = self._pool_view.held() if self._pool_view is not None else frozenset[str]()
        for one in await self._ours():
            if one.state not in _ENDED or one.name in held or one.since >= before:
                continue
            async with _told(report, f"container {one.name}"):
                _, ended = await self._inventory.written(one.id)
                if ended < before:
                    await self._remove_container(report, one)

    async def _ours(self) -> Iterable[InventoryContainer]:
        mine = self._inventory.owner
        return [one for one in await self._inventory.containers() if mine in (one.owner, one.helper)]

    async def _remove_container(self, report: Report, one: InventoryContainer) -> None:
        async with _told(report, f"container {one.name}"):
            size, _ = await self._inventory.written(one.id)
            if not report.dry_run:
                await self._inventory.remove_container(one.id)
            report.add("containers", size, one.name)

    async def _caches(self, report: Report, before: float) -> None:
        """The caches of Spaces that the registry has no longer, and that no job has used since then."""
        snapshot = await self._registry.fresh()
        if snapshot.warnings:
            # An entry that cannot be read may be the one whose cache it is.
            return
        listed = {entry.id for entry in snapshot.spaces.values()}
        used = {note.space: note.last_used for note in sorted(self._notes.all(), key=lambda n: n.last_used)}
        for cache in await self._inventory.caches():
            if cache.space in listed or max(cache.created, used.get(cache.space, 0.0)) >= before:
                continue
            await self._remove_cache(report, cache)

    async def _remove_cache(self, report: Report, cache: InventoryVolume) -> None:
        async with _told(report, f"the cache of {cache.space}"):
            if not report.dry_run:
                await self._inventory.remove_cache(cache.name)
            report.add("caches", cache.size, cache.space)


@asynccontextmanager
async def _told(report: Report, what: str) -> AsyncIterator[None]:
    """What cannot be removed is said, and does not keep the rest from going."""
    try:
        yield
    except (EngineRefusedError, StepError, *TROUBLE) as error:
        report.left.append(f"{what}: {error}")


EVERY_SECONDS = 3600.0
FULL = 0.85
"""How full the engine's disk may become where no budget is set."""


class Housekeeper:
    """Runs the clean-up again and again.

    `budget` is what our images may take, in bytes (None: only a disk that is nearly full counts).
    """

    def __init__(
        self,
        cleaner: Cleaner,
        image_cleanup: ImageCleanup,
        inventory: Inventory,
        redis: Redis,
        budget: int | None,
    ) -> None:
        self._cleaner, self._image_cleanup, self._inventory = cleaner, image_cleanup, inventory
        self._redis, self._budget = redis, budget

    async def run(self, every: float = EVERY_SECONDS) -> None:
        """Keep house until cancelled."""
        await forever("housekeeping", self.once, every)

    async def once(self) -> Report:
        """Clean up once, and log what was freed."""
        order = CleanupRequest(older_than=DAY_S, need=await self._need(), results=False)
        report = await self._cleaner.clean(order, self._redis, unheard)
        for reason in report.left:
            log.warning("housekeeping.left", reason=reason)
        if counts := {kind: total["count"] for kind, total in report.kinds.items() if total["count"]}:
            log.info("housekeeping.freed", bytes=report.bytes, **counts)
        return report

    async def _need(self) -> int:
        """The bytes of images that are too many; 0 while the engine cannot be asked."""
        try:
            if self._budget is not None:
                return max(0, await self._image_cleanup.bytes() - self._budget)
            return await asyncio.to_thread(_over, await self._inventory.disk())
        except (EngineRefusedError, StepError) as error:
            log.warning("housekeeping.images_unknown", reason=str(error))
            return 0


def _over(place: str) -> int:
    """By how many bytes the disk of that directory is over its limit; 0 where it is not on this host."""
    try:
        found = os.statvfs(place)
    except OSError:
        return 0
    # As df counts it: what is reserved for root is not to be had.
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    return max(0, int(used - FULL * (used + found.f_bavail * found.f_frsize)))
