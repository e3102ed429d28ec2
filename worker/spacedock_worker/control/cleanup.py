"""The answers to `spacedock cleanup`."""

from __future__ import annotations

from spacedock._wire.retention import DAY_S
from spacedock._wire.rpc import CleanupOptions, Reply
from spacedock_worker.cleanup.cleaner import Cleaner, CleanupRequest
from spacedock_worker.control.dispatcher import Asked


class CleanupHandler:
    """Cleans up when asked."""

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner

    async def answer(self, asked: Asked[CleanupOptions]) -> Reply:
        """Clean up, and reply what was freed."""
        options = asked.options
        older_than = DAY_S if options.older_than is None else options.older_than
        order = CleanupRequest(older_than, dry_run=options.dry_run, images=options.images)
        report = await self._cleaner.clean(order, asked.redis, asked.on_progress)
        return Reply(data=report.told())
