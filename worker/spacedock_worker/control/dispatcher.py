"""Who answers which control call: a table from operations to the desks that know them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from redis.asyncio import Redis

from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock.errors import SpacedockError, SpaceNotFoundError

Desk = Callable[[Call, Redis, OnProgress], Awaitable[Reply]]

_SAID_CHARS = 4000


class Dispatcher:
    """Sends each call to its desk; what is wrong with it becomes the reply's error.

    `prepare` is awaited before: it reads what desks look at, where reading would keep the event loop busy.
    """

    def __init__(self, table: Mapping[Op, Desk], prepare: Callable[[], Awaitable[object]]) -> None:
        self._table, self._prepare = dict(table), prepare

    async def answer(self, call: Call, redis: Redis, tell: OnProgress) -> Reply:
        """The reply of the desk that knows the operation."""
        desk = self._table.get(call.op)
        if desk is None:
            return Reply(error=f"this worker does not know '{call.op.value}'. Is it an older version?")
        try:
            await self._prepare()
            return await desk(call, redis, tell)
        except SpaceNotFoundError as error:
            return Reply(not_found=True, known=error.known)
        except SpacedockError as error:
            return Reply(error=str(error)[:_SAID_CHARS])
