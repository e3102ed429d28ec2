"""The clean-up by the clock: at the start and every hour, with a budget for images."""

from __future__ import annotations

import asyncio
import os

import structlog
from redis.asyncio import Redis

from spacedock._wire.retention import DAY_S
from spacedock_worker.background import forever
from spacedock_worker.cleanup.cleaner import Cleaner, CleanupRequest
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.cleanup.report import Report
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.errors import StepError

log = structlog.get_logger()

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
        report = await self._cleaner.clean(order, self._redis, _unheard)
        for reason in report.left:
            log.warning("housekeeping.left", reason=reason)
        if report.freed:
            counts = {kind: total["count"] for kind, total in report.totals().items() if total["count"]}
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


def _unheard(message: str) -> None:
    pass
