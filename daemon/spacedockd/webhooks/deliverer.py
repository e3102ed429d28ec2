"""The daemon's part in webhooks: what has ended becomes a delivery, which is sent until it arrives.

All of it is in Redis, so nothing depends on which daemon of a queue does it, or on how long it lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import structlog
from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.connection import OUTAGES, answer, connect
from spacedock._wire.scripts import registered
from spacedock._wire.view import batches
from spacedock._wire.view.webhooks import BATCH, JOB, KEEP_SECONDS, WebhookDelivery, Webhooks, body_of, id_of
from spacedock._wire.wire import labels_in
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.events import BatchStatus
from spacedock.states import JobState
from spacedock_worker.background import forever
from spacedockd.http.settings import WebhookSettings

if TYPE_CHECKING:
    from spacedockd.webhooks.sending import TryOutcome

log = structlog.get_logger()

_TURN_SECONDS = 0.5
_PAGE = 500
"""So many callbacks are looked at in a turn."""

_FORGET_SECONDS = 60.0
"""A callback is there before its job; if no job comes, it goes after so long."""

_LEASE_BEYOND = 10

_ENDED = {state.value.encode(): state.value for state in JobState if state.terminal}

Told = tuple[str, dict[str, Any]]
"""A webhook's type and data."""

Try = Callable[[WebhookDelivery, str], "Awaitable[TryOutcome]"]
"""Sends a webhook, signed by that secret."""


class Deliverer:
    """Sends the webhooks of the queue at `url`, together with the other daemons of it."""

    def __init__(self, url: str, settings: WebhookSettings) -> None:
        self._url, self._settings = url, settings
        self._cursor = 0
        self._lacking: dict[str, float] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._try: Try | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        async with (
            connect(self._url) as redis,
            AsyncExitStack() as stack,
            asyncio.TaskGroup() as tasks,
        ):

            async def turn() -> None:
                await self._owe_what_ended(redis)
                for webhook_id in await self._taken(redis):
                    attempt = self._try = self._try or await self._sender(stack)
                    task = tasks.create_task(self._send(redis, attempt, webhook_id))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)

            await forever("webhooks", turn, _TURN_SECONDS, trouble=OUTAGES)

    async def _sender(self, stack: AsyncExitStack) -> Try:
        """What sends, until the stack unwinds: it brings an HTTP client, and most hosts send no webhook."""
        sending = await asyncio.to_thread(import_module, "spacedockd.webhooks.sending")
        return partial(sending.tried, await stack.enter_async_context(sending.sender(self._settings)))

    async def _owe_what_ended(self, redis: Redis) -> None:
        self._cursor, page = await redis.hscan(keys.CALLBACKS, self._cursor, count=_PAGE)
        urls = {name.decode(errors="replace"): url for name, url in page.items()}
        told = await self._jobs(redis, [name for name in urls if not name.startswith(BATCH)])
        for name in urls:
            if name.startswith(BATCH) and (event := await self._batch(redis, name)) is not None:
                told[name] = event
        script = registered(redis, "owe", __package__, KEEP_WEBHOOKS=KEEP_SECONDS)
        for name, (kind, data) in told.items():
            webhook_id = id_of(urls[name].decode(errors="replace"), kind, data)
            await script(args=[name, urls[name], webhook_id, kind, body_of(webhook_id, kind, data, time())])
        gone = [name for name, since in self._lacking.items() if monotonic() - since >= _FORGET_SECONDS]
        if gone:
            await answer(redis.hdel(keys.CALLBACKS, *gone))
        self._lacking = {name: since for name, since in self._lacking.items() if name not in gone}

    async def _jobs(self, redis: Redis, names: Sequence[str]) -> dict[str, Told]:
        """What to tell of those jobs that have ended."""
        ids = [name.removeprefix(JOB) for name in names]
        async with redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hmget(keys.job(job_id), ["state", "labels"])
            rows = await pipe.execute(raise_on_error=False)
        told = {}
        for name, job_id, row in zip(names, ids, rows, strict=True):
            state, labels = row if isinstance(row, list) else (None, None)
            self._note(name, there=isinstance(state, bytes))
            if (ended := _ENDED.get(state or b"")) is not None:
                told[name] = f"job.{ended}", {"id": job_id, "state": ended, "labels": labels_in(labels)}
        return told

    async def _batch(self, redis: Redis, name: str) -> Told | None:
        """What to tell of a batch; None while it has not ended."""
        try:
            status = await batches.find(redis, name.removeprefix(BATCH))
        except (JobNotFoundError, BadRequestError):
            self._note(name, there=False)
            return None
        self._note(name, there=True)
        return batch_event(status)

    def _note(self, name: str, *, there: bool) -> None:
        if there:
            self._lacking.pop(name, None)
        else:
            self._lacking.setdefault(name, monotonic())

    async def _taken(self, redis: Redis) -> list[str]:
        if (room := self._settings.concurrent - len(self._sending)) <= 0:
            return []
        lease = int(self._settings.timeout) + _LEASE_BEYOND
        due = await registered(redis, "take", __package__)(args=[room, lease])
        return [webhook_id.decode(errors="replace") for webhook_id in due]

    async def _send(self, redis: Redis, attempt: Try, webhook_id: str) -> None:
        """One try. If Redis goes away before its outcome is written, it is sent again after the lease."""
        try:
            webhooks = Webhooks(redis, self._url)
            delivery = await webhooks.find(webhook_id)
            outcome = await attempt(delivery, await webhooks.secret())
            await webhooks.note(webhook_id, outcome.said, delivered=outcome.delivered, again=outcome.again)
            _tell(webhook_id, delivery.type, delivery.tries + 1, outcome)
        except OUTAGES as error:
            log.warning("webhook.unwritten", webhook=webhook_id, why=type(error).__name__)
        except BadRequestError:
            await answer(redis.zrem(keys.WEBHOOKS, webhook_id))
        except Exception:
            # The task's boundary: one webhook does not end the others.
            log.exception("webhook.fault", webhook=webhook_id)


def _tell(webhook_id: str, kind: str, tries: int, outcome: TryOutcome) -> None:
    event = "webhook.delivered" if outcome.delivered else "webhook.failed"
    log.info(event, webhook=webhook_id, type=kind, tries=tries, said=outcome.said, again=outcome.again)


def batch_event(batch: BatchStatus) -> Told | None:
    """What to tell of a batch; None while a job of it has not ended."""
    if batch.left:
        return None
    completed, total = batch.counts.get(JobState.SUCCEEDED, 0), sum(batch.counts.values())
    cancelled = batch.counts.get(JobState.CANCELLED, 0)
    kind = "cancelled" if cancelled else "completed" if completed else "failed"
    counts = {"total": total, "completed": completed, "failed": batch.unanswered}
    return f"batch.{kind}", {"id": batch.id, "request_counts": counts}
