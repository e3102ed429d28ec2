"""Answering control calls: whoever of the workers is first takes a call and pushes its reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis

from spacedock import keys, wire
from spacedock.connection import answer
from spacedock.control import CALL_SECONDS, Call, Reply
from spacedock.errors import WireError
from spacedock_worker.queue.ledger import TROUBLE

log = structlog.get_logger()

ControlHandler = Callable[[Call, Redis], Awaitable[Reply]]

_WAIT_SECONDS = 5


async def serve_controls(redis: Redis, handle: ControlHandler) -> None:
    """Take one call, or none within a few seconds, and answer it; rubbish is dropped."""
    taken = await answer(redis.brpop([keys.CONTROL], timeout=_WAIT_SECONDS))
    if taken is None:
        return
    try:
        call = wire.decode(Call, taken[1])
    except WireError as error:
        log.warning("control.unreadable", error=str(error))
        return
    reply = await _reply(call, redis, handle)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.lpush(keys.reply(call.id), wire.encode(reply))
        pipe.expire(keys.reply(call.id), CALL_SECONDS * 2)
        await pipe.execute()


async def _reply(call: Call, redis: Redis, handle: ControlHandler) -> Reply:
    try:
        return await handle(call, redis)
    except TROUBLE:
        raise
    except Exception as error:
        # The call's boundary: a fault of ours is its answer, not the worker's end.
        log.exception("control.fault", op=call.op.value)
        return Reply(error=f"a fault in Spacedock ({type(error).__name__}); the worker's log has the details")
