"""The answers to `spacedock cleanup`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis

from spacedock._wire.retention import DAY_S
from spacedock._wire.rpc import Call, OnProgress, Reply
from spacedock._wire.wire import describe
from spacedock.errors import BadRequestError
from spacedock_worker.cleanup.cleaner import Cleaner, CleanupRequest


class CleanupOptions(BaseModel):
    """What the caller asks for; times in seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dry_run: bool = False
    images: bool = False
    older_than: float = Field(default=DAY_S, ge=0, allow_inf_nan=False)


class CleanupHandler:
    """Cleans up when asked."""

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner

    async def answer(self, call: Call, redis: Redis, tell: OnProgress) -> Reply:
        """Clean up, and reply what was freed. Raises BadRequestError."""
        try:
            options = CleanupOptions.model_validate(call.options)
        except ValidationError as error:
            raise BadRequestError(f"cleanup: {describe(error)}") from error
        order = CleanupRequest(options.older_than, dry_run=options.dry_run, images=options.images)
        report = await self._cleaner.clean(order, redis, tell)
        return Reply(data=report.told())
