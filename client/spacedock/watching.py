"""Following one job's progress while it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from redis.asyncio import Redis

from spacedock import keys, records, wire
from spacedock.events import Event

_LOOK_SECONDS = 2.0


async def events(redis: Redis, job_id: str) -> AsyncGenerator[Event]:
    """Yield the job's events from now on; ends when the job has ended. Raises JobNotFoundError."""
    channel = keys.events(job_id).encode()
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(keys.events(job_id), keys.DONE)
        while not (await records.status(redis, job_id)).state.terminal:
            # A quiet while ends the inner loop: the announcement of the end may have been lost.
            while (message := await pubsub.get_message(timeout=_LOOK_SECONDS)) is not None:
                if message["channel"] == channel:
                    yield wire.decode(Event, message["data"])
                elif message["data"].decode() == job_id:
                    return
