"""Charging a worker's death to the job that its loop is busy with (docs/decisions/0016, 0017)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock_worker import witness

log = structlog.get_logger()

_SECONDS = 2.0
_KEPT_SECONDS = 24 * 3600


class Charge:
    """One worker's: set while its loop does not answer, lifted where it answers after all.

    Without Redis nothing is charged: the job is only run again.
    """

    def __init__(self, redis_url: str, note: Path) -> None:
        self._url, self._note = redis_url, note
        self._key = ""
        self._before: bytes | None = None
        self.job_id: str | None = None

    async def set(self) -> None:
        """Charge the job that the worker's note names; nobody where it names none."""
        worker_id, job_id = witness.read(self._note) or ("", "")
        log.warning("worker.silent", worker=worker_id, job_id=job_id or None)
        if not job_id:
            return
        self._key, self.job_id = keys.accused(worker_id), job_id
        self._before = await self._ask(lambda redis: redis.set(self._key, job_id, ex=_KEPT_SECONDS, get=True))

    async def lift(self) -> None:
        """Put back what was charged before."""
        job_id, self.job_id = self.job_id, None
        log.info("worker.answers_again", job_id=job_id)
        if job_id is None:
            return
        if before := self._before:
            await self._ask(lambda redis: redis.set(self._key, before, ex=_KEPT_SECONDS))
        else:
            await self._ask(lambda redis: redis.delete(self._key))

    async def _ask(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """The answer to a command; None where Redis gives none soon."""
        try:
            async with asyncio.timeout(_SECONDS), connect(self._url) as redis:
                return await command(redis)
        except (TimeoutError, RedisError, OSError) as error:
            log.warning("worker.not_charged", job_id=self.job_id, reason=type(error).__name__)
            return None
