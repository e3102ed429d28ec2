"""Who answers which control call: a table from operations to their handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis

from spacedock._wire.rpc import Call, OnProgress, Op, Options, Reply
from spacedock.errors import SpacedockError, SpaceNotFoundError

O_co = TypeVar("O_co", bound=Options, covariant=True)


@dataclass(frozen=True, slots=True)
class Asked(Generic[O_co]):
    """A control call as its handler gets it: the call, its options, and who hears of its progress."""

    call: Call
    options: O_co
    redis: Redis
    on_progress: OnProgress


CallHandler = Callable[[Asked[Any]], Awaitable[Reply | Mapping[str, Any]]]
"""Answers a call by the type that its client reads (`spacedock.replies`); with entries, by a whole reply."""

_SAID_CHARS = 4000


class Dispatcher:
    """Sends each call to its handler; what is wrong with it becomes the reply's error.

    `prepare` is awaited first: it reads what handlers look at, where reading would keep the event loop busy.
    """

    def __init__(self, table: Mapping[Op, CallHandler], prepare: Callable[[], Awaitable[object]]) -> None:
        self._table, self._prepare = dict(table), prepare

    async def answer(self, call: Call, redis: Redis, on_progress: OnProgress) -> Reply:
        """The reply of the handler that knows the operation."""
        handler = self._table.get(call.op)
        if handler is None:
            return Reply(error=f"this worker does not know '{call.op.value}'. Is it an older version?")
        try:
            await self._prepare()
            return reply_of(await handler(Asked(call, call.read_options(), redis, on_progress)))
        except SpaceNotFoundError as error:
            return Reply(not_found=True, known=error.known)
        except SpacedockError as error:
            return Reply(error=str(error)[:_SAID_CHARS])


def reply_of(answered: Reply | Mapping[str, Any]) -> Reply:
    """The reply that says what a handler answered."""
    return answered if isinstance(answered, Reply) else Reply(data=answered)
