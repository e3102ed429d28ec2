"""Following one job's progress while it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from redis.asyncio import Redis

from spacedock import keys, records, wire
from spacedock.events import Event
from spacedock.subscription import messages


async def events(redis: Redis, job_id: str) -> AsyncGenerator[Event]:
    """Yield the job's events from now on; ends when the job has ended. Raises JobNotFoundError."""
    channel = keys.events(job_id)
    async with aclosing(messages(redis, channel, keys.DONE)) as heard:
        async for message in heard:
            if message is None:
                if (await records.status(redis, job_id)).state.terminal:
                    return
            elif message.channel == channel:
                yield wire.decode(Event, message.data)
            elif message.text == job_id:
                return
