"""Listening to channels of Redis: from a moment that the server confirms, on a link that is known to live."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from redis.asyncio import Redis

QUIET_SECONDS = 5.0
"""After so long without a message the server is asked whether it is there; it has as long to answer."""

_TEXT_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """What was published on a channel."""

    channel: str
    data: bytes

    @property
    def text(self) -> str:
        """The data as text, cut at a bound; bytes that are not UTF-8 are replaced."""
        return self.data[:_TEXT_BYTES].decode(errors="replace")


async def messages(redis: Redis, *channels: str) -> AsyncGenerator[Message | None]:
    """Yield None once all channels are subscribed, so that nothing is missed from here on; then each message.

    Never ends by itself. Raises redis-py's errors, and TimeoutError where the server has fallen silent.
    """
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(*channels)
        missing, asked = len(channels), False
        while True:
            message = await pubsub.get_message(timeout=QUIET_SECONDS)
            if message is None:
                if asked:
                    raise TimeoutError("Redis has fallen silent")
                await pubsub.ping()
            elif message["type"] == "message":
                yield Message(message["channel"].decode(), message["data"])
            elif message["type"] == "subscribe":
                missing -= 1
                if missing == 0:
                    yield None
            asked = message is None
