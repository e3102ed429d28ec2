"""Waiting for jobs to end: woken by Redis's notifications, with a look now and then in case one was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from spacedock import keys, records
from spacedock.connection import OUTAGES
from spacedock.result import JobResult

LOOK_SECONDS = 5.0
_CHUNK = 500
_PAUSE_SECONDS = 0.5


async def results(redis: Redis, job_ids: Iterable[str]) -> AsyncGenerator[JobResult]:
    """Yield the result of each job as it ends, in the order of ending; survives outages of Redis.

    Raises JobNotFoundError where a job does not exist.
    """
    open_ids = dict.fromkeys(job_ids)
    async with aclosing(_endings(redis, open_ids)) as endings:
        async for ended in endings:
            for result in await _finished(redis, [job_id for job_id in ended if job_id in open_ids]):
                del open_ids[result.id]
                yield result
            if not open_ids:
                return


async def _endings(redis: Redis, open_ids: dict[str, None]) -> AsyncGenerator[list[str]]:
    """Lists of ids that have ended or may have: all of them first and at each look, else those announced."""
    if not open_ids:
        return
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(keys.DONE)
                await _subscribed(pubsub)
                yield list(open_ids)
                while True:
                    announced = await _announced(pubsub)
                    yield announced or list(open_ids)
        except OUTAGES:
            await asyncio.sleep(_PAUSE_SECONDS)


async def _subscribed(pubsub: PubSub) -> None:
    """Wait until the server has confirmed: what ends from here on is announced to us."""
    while not pubsub.subscribed:
        await pubsub.get_message(timeout=1.0)


async def _announced(pubsub: PubSub) -> list[str]:
    """The ids announced next, several at once where they came together; none after a quiet while."""
    message = await pubsub.get_message(timeout=LOOK_SECONDS)
    ids: list[str] = []
    while message is not None and len(ids) < _CHUNK:
        ids.append(message["data"].decode())
        message = await pubsub.get_message(timeout=0.0)
    return ids


async def _finished(redis: Redis, job_ids: list[str]) -> list[JobResult]:
    found: list[JobResult] = []
    for start in range(0, len(job_ids), _CHUNK):
        with suppress(*OUTAGES):
            found += await records.finished(redis, job_ids[start : start + _CHUNK])
    return found
