"""A job's progress on its way to whoever watches: in order, bounded, and never in the job's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from spacedock.events import PARTIAL_CHARS, Event
from spacedock.result import Stage
from spacedock_worker.queue.job_store import JobStore
from spacedock_worker.queue.patience import TROUBLE

log = structlog.get_logger()


Emit = Callable[[Stage, str, str, str | None], None]
"""Announces a stage of whom, with a short message and the answer's text so far."""

_WAITING = 100
_NAME_CHARS, _MESSAGE_CHARS = 300, 1000
_CLOSE_SECONDS = 2.0


class ProgressPublisher:
    """Announces one job's events; those that come faster than Redis takes them are dropped."""

    def __init__(self, store: JobStore, job_id: str) -> None:
        self._store, self._job_id = store, job_id
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(_WAITING)
        self._sending: asyncio.Task[None] | None = None

    def tell(self, stage: Stage, name: str, message: str, partial: str | None) -> None:
        """Announce a stage of whom, with a short message and the answer's text so far."""
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        if not self._events.full():
            end = partial and partial[-PARTIAL_CHARS:]
            event = Event(
                job_id=self._job_id,
                stage=stage,
                name=name[:_NAME_CHARS],
                message=message[:_MESSAGE_CHARS],
                partial=end,
            )
            self._events.put_nowait(event)

    async def close(self) -> None:
        """Send what waits, but not for long: a job's end is more than its progress."""
        if self._sending is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._events.put(None)
                await self._sending
        except TimeoutError:
            log.debug("events.lost", job_id=self._job_id)
        finally:
            self._sending.cancel()

    async def _send(self) -> None:
        while (event := await self._events.get()) is not None:
            try:
                await self._store.tell(event)
            except TROUBLE:
                log.debug("event.lost", job_id=self._job_id)
            except Exception:
                # The event's boundary: no progress that cannot be told may end the job that makes it.
                log.exception("event.fault", job_id=self._job_id)
