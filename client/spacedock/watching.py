"""Following one job's progress while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from redis.asyncio import Redis

from spacedock import keys, records, wire
from spacedock.events import Event
from spacedock.subscription import messages


async def events(redis: Redis, job_id: str, opened: asyncio.Event | None = None) -> AsyncGenerator[Event]:
    """Yield the job's events from now on; ends when the job has ended. Raises JobNotFoundError.

    With `opened` the job is one that is yet to be submitted: after that is set, so that nothing is missed.
    """
    channel = keys.events(job_id)
    async with aclosing(messages(redis, channel, keys.DONE)) as heard:
        async for message in heard:
            if message is None and opened is not None:
                opened.set()
            elif message is None:
                if (await records.status(redis, job_id)).state.terminal:
                    return
            elif message.channel == channel:
                yield wire.decode(Event, message.data)
            elif message.text == job_id:
                return
