"""Waiting for jobs to end: woken by Redis's notifications, with a look now and then in case one was lost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from functools import partial

from redis.asyncio import Redis

from spacedock._wire import jobs as records
from spacedock._wire import keys, stream
from spacedock._wire.connection import OUTAGES, Message, messages
from spacedock._wire.view import batches
from spacedock.errors import JobNotFoundError, ResultDeletedError
from spacedock.events import BatchStatus, Event, JobStatus
from spacedock.result import JobResult

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How soon a quiet wait looks by itself; twice as long each time that it found nothing."""

_LONGEST_LOOK_SECONDS = 60.0
_CHUNK = 500
_PAUSE_SECONDS = 0.5
_REMEMBERED = 1000


class Wait:
    """The jobs that one caller waits for, and those of them that may have ended."""

    def __init__(self, job_ids: Iterable[str]) -> None:
        self.open = dict.fromkeys(job_ids)
        self._notified: dict[str, None] = {}
        self._stir = asyncio.Event()

    def notify(self, job_ids: Iterable[str]) -> None:
        """Say that these jobs may have ended."""
        self._notified.update(dict.fromkeys(job_id for job_id in job_ids if job_id in self.open))
        if self._notified:
            self._stir.set()

    async def next(self, seconds: float) -> list[str]:
        """The jobs to look at: those that were announced, or all of them after so many quiet seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stir.wait()
        self._stir.clear()
        if not self._notified:
            return list(self.open)
        notified, self._notified = self._notified, {}
        # A look at all of them may have found one before its announcement came.
        return [job_id for job_id in notified if job_id in self.open]


class WaitHub:
    """Every wait of one client, over one subscription: a thousand callers cost one connection."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waits: set[Wait] = set()
        self._listening: asyncio.Task[None] | None = None
        self._subscribed = False
        self._away = False
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)
        self._heard, self._heard_since = 0, 0

    @property
    def heard(self) -> int | None:
        """How many ends were announced so far; None while nobody listens."""
        return self._heard if self._subscribed else None

    async def results(self, job_ids: Iterable[str], heard: int | None = None) -> AsyncGenerator[JobResult]:
        """Yield the result of each job as it ends, in the order of ending; survives outages of Redis.

        With `heard`, as it was before new jobs were submitted, they are not looked at before their end is
        announced: that spares a round trip.
        Raises JobNotFoundError where a job does not exist; and ResultDeletedError, after the results of all
        others, where somebody has read a private job's result before.
        """
        wait = self._join(job_ids, heard)
        quiet = LOOK_SECONDS
        deleted: list[str] = []
        try:
            while wait.open:
                seconds, quiet = quiet, min(2 * quiet, _LONGEST_LOOK_SECONDS)
                async with aclosing(self._look(wait, seconds)) as pages:
                    async for found, gone in pages:
                        for job_id in gone:
                            del wait.open[job_id]
                        deleted += gone
                        for result in found:
                            quiet = LOOK_SECONDS
                            del wait.open[result.id]
                            yield result
        finally:
            self._waits.discard(wait)
        if deleted:
            raise ResultDeletedError(tuple(deleted))

    async def aclose(self) -> None:
        """End the subscription. Twice is safe."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None

    def _join(self, job_ids: Iterable[str], heard: int | None) -> Wait:
        wait = Wait(job_ids)
        self._waits.add(wait)
        if self._listening is None or self._listening.done():
            self._subscribed = False
            self._listening = asyncio.create_task(self._listen())
        if self._subscribed:
            wait.notify(self._announced_since(heard, wait))
        return wait

    def _announced_since(self, heard: int | None, wait: Wait) -> Iterable[str]:
        """The jobs whose end was announced since then; all that are waited for where that is not known."""
        if heard is None or heard < self._heard_since or self._heard - heard > len(self._recent):
            return wait.open
        return [*self._recent][len(self._recent) - (self._heard - heard) :]

    async def _listen(self) -> None:
        """Tell the waits which jobs end; after a new subscription they look at all of theirs."""
        while True:
            try:
                async with aclosing(messages(self._redis, keys.DONE)) as heard:
                    async for message in heard:
                        self._subscribed = True
                        self._remember(message)
                        for wait in self._waits:
                            wait.notify(wait.open if message is None else [message.text])
            except OUTAGES:
                self._note(away=True)
            self._subscribed = False
            await asyncio.sleep(_PAUSE_SECONDS)

    def _remember(self, message: Message | None) -> None:
        if message is None:
            self._heard_since = self._heard
        else:
            self._recent.append(message.text)
            self._heard += 1

    async def _look(
        self, wait: Wait, seconds: float
    ) -> AsyncGenerator[tuple[Sequence[JobResult], Sequence[str]]]:
        """The results of those that were announced; of all that have ended after so many quiet seconds.

        They come in pages, each read when it is asked for. And the jobs among them that were deleted.
        """
        job_ids = await wait.next(seconds)
        if self._listening is not None and self._listening.done():
            self._listening.result()
        try:
            if len(job_ids) == 1 and (found := await records.results(self._redis, job_ids)):
                # The usual case costs one round trip.
                self._note(away=False)
                yield found, ()
                return
            for start in range(0, len(job_ids), _CHUNK):
                pages, gone = await records.ended(self._redis, job_ids[start : start + _CHUNK])
                # One that is loading its file takes subscriptions, and answers nothing else.
                self._note(away=False)
                yield (), gone
                for page in pages:
                    yield await records.results(self._redis, page), ()
        except OUTAGES:
            wait.notify(job_ids)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _note(self, *, away: bool) -> None:
        """Say once that Redis is away, and once that it is there again: nobody shall wait in the dark."""
        if away and not self._away:
            log.warning("the connection to Redis is lost; waiting for it to come back")
        elif self._away and not away:
            log.warning("Redis is there again")
        self._away = away


async def watch(redis: Redis, name: str) -> AsyncGenerator[Event]:
    """Yield the events of a job or a batch, those that are kept and those that come; ends when it has ended.

    To a run of a pipeline belong those of its steps' jobs.
    Raises JobNotFoundError.
    """
    found: JobStatus | BatchStatus
    try:
        found = await records.status(redis, name)
    except JobNotFoundError:
        found = await batches.find(redis, name)
    begin, steps = await stream.before(redis, found.submitted), f"{found.id}-"
    async with aclosing(stream.follow(redis, begin, partial(_has_ended, redis, found))) as events:
        async for event in events:
            if event.missed or found.id in (event.job_id, event.batch) or event.job_id.startswith(steps):
                yield event


async def _has_ended(redis: Redis, watched: JobStatus | BatchStatus) -> bool:
    try:
        if isinstance(watched, BatchStatus):
            return (await batches.find(redis, watched.id)).left == 0
        return (await records.status(redis, watched.id)).state.terminal
    except JobNotFoundError:
        return True
