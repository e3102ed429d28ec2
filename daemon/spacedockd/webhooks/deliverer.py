"""The daemon's part in webhooks: what has ended becomes a delivery, which is sent until it arrives.

All of it is in Redis, so nothing depends on which daemon of a queue does it, or on how long it lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from time import monotonic, time
from typing import Any

import aiohttp
import structlog
from redis.asyncio import Redis

from spacedock._wire import jobs as records
from spacedock._wire import keys, stream
from spacedock._wire.connection import OUTAGES, answer, connect
from spacedock._wire.scripts import registered
from spacedock._wire.view import batches
from spacedock._wire.view.webhooks import BATCH, JOB, KEEP_SECONDS, Webhooks, body_of, id_of
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.events import BatchStatus
from spacedock.states import JobState
from spacedock_worker.background import forever
from spacedockd.webhooks.sending import TryOutcome, headers_of, sender, tried
from spacedockd.webhooks.settings import WebhookSettings

log = structlog.get_logger()

_TURN_SECONDS = 0.5
_LOOK_SECONDS = 30.0
"""How often all callbacks are looked at: an event may have been missed."""

_LEASE_BEYOND = 10
_PAGE = 500


class Deliverer:
    """Sends the webhooks of the queue at `url`, together with the other daemons of it."""

    def __init__(self, url: str, settings: WebhookSettings) -> None:
        self._url, self._settings = url, settings
        self._ended: set[str] = set()
        self._lacking: set[str] = set()
        self._looked = -_LOOK_SECONDS
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with (
            connect(self._url) as redis,
            sender(self._settings) as session,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(forever("webhooks.listening", lambda: self._listen(redis), trouble=OUTAGES))

            async def turn() -> None:
                await self._owe_what_ended(redis)
                for webhook_id in await self._taken(redis):
                    task = tasks.create_task(self._send(redis, session, webhook_id))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)

            await forever("webhooks", turn, _TURN_SECONDS, trouble=OUTAGES)

    async def _listen(self, redis: Redis) -> None:
        async with aclosing(stream.follow(redis, None)) as events:
            async for event in events:
                if event.state is not None:
                    self._ended |= {JOB + event.job_id, *([BATCH + event.batch] if event.batch else ())}

    async def _owe_what_ended(self, redis: Redis) -> None:
        asked: Any = await answer(redis.lpop(keys.CALLED_BACK, _PAGE))
        ended = self._ended | {name.decode(errors="replace") for name in asked or ()}
        self._ended = set()
        if ended:
            found = await answer(redis.hmget(keys.CALLBACKS, list(ended)))
            await self._owe(redis, zip(ended, found, strict=True))
        if monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = monotonic()
        lacking, self._lacking = self._lacking, set()
        async for name, url in redis.hscan_iter(keys.CALLBACKS, count=_PAGE):
            await self._owe(redis, [(name.decode(errors="replace"), url)])
        # What is submitted a moment after its callback is there by the next look.
        if gone := lacking & self._lacking:
            await answer(redis.hdel(keys.CALLBACKS, *gone))

    async def _owe(self, redis: Redis, callbacks: Iterable[tuple[str, bytes | None]]) -> None:
        script = registered(redis, "owe", __package__, KEEP_WEBHOOKS=KEEP_SECONDS)
        for name, url in callbacks:
            if url is None or (found := await self._event(redis, name)) is None:
                continue
            kind, data = found
            webhook_id = id_of(url.decode(errors="replace"), kind, data)
            await script(args=[name, url, webhook_id, kind, body_of(webhook_id, kind, data, time())])

    async def _event(self, redis: Redis, name: str) -> tuple[str, dict[str, Any]] | None:
        """What to tell of a job or batch; None while it has not ended."""
        try:
            if name.startswith(BATCH):
                return batch_event(await batches.find(redis, name.removeprefix(BATCH)))
            status = await records.status(redis, name.removeprefix(JOB))
        except (JobNotFoundError, BadRequestError):
            self._lacking.add(name)
            return None
        if not status.state.terminal:
            return None
        return f"job.{status.state.value}", {"id": status.id, "state": status.state.value}

    async def _taken(self, redis: Redis) -> list[str]:
        if (room := self._settings.concurrent - len(self._sending)) <= 0:
            return []
        lease = int(self._settings.timeout) + _LEASE_BEYOND
        due = await registered(redis, "take", __package__)(args=[room, lease])
        return [webhook_id.decode(errors="replace") for webhook_id in due]

    async def _send(self, redis: Redis, session: aiohttp.ClientSession, webhook_id: str) -> None:
        """One try. If Redis goes away before its outcome is written, it is sent again after the lease."""
        try:
            webhooks = Webhooks(redis, self._url)
            delivery = await webhooks.find(webhook_id)
            secret = await webhooks.secret()
            headers = headers_of(webhook_id, delivery.body, secret, int(time()))
            outcome = await tried(session, delivery.url, delivery.body, headers, delivery.tries + 1)
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


def batch_event(batch: BatchStatus) -> tuple[str, dict[str, Any]] | None:
    """What to tell of a batch; None while a job of it has not ended."""
    if batch.left:
        return None
    completed, total = batch.counts.get(JobState.SUCCEEDED, 0), sum(batch.counts.values())
    cancelled = batch.counts.get(JobState.CANCELLED, 0)
    kind = "cancelled" if cancelled else "completed" if completed else "failed"
    counts = {"total": total, "completed": completed, "failed": batch.unanswered}
    return f"batch.{kind}", {"id": batch.id, "request_counts": counts}
