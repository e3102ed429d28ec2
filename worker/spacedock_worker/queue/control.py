"""Answering control calls: whoever of the workers is first takes a call and pushes its replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock import keys, wire
from spacedock.connection import answer
from spacedock.control import WORKING_SECONDS, Call, OnProgress, Reply, push_reply
from spacedock.errors import WireError
from spacedock_worker.queue.ledger import TROUBLE

log = structlog.get_logger()

ControlHandler = Callable[[Call, Redis, OnProgress], Awaitable[Reply]]

AT_ONCE = 4
"""How many calls a worker answers at once: a long one must not keep the short ones waiting."""

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
    said = _Said()
    async with _heard(redis, call, said):
        reply = await _reply(call, redis, handle, said)
    await _push(redis, call, reply)


class _Said:
    """What a handler said last; a new thing is told soon, the rest is left out."""

    def __init__(self) -> None:
        self.message = ""

    def __call__(self, message: str) -> None:
        self.message = message


@asynccontextmanager
async def _heard(redis: Redis, call: Call, said: _Said) -> AsyncIterator[None]:
    """Within the block the caller hears that somebody is at work for it."""
    telling = asyncio.create_task(_tell(redis, call, said))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(redis: Redis, call: Call, said: _Said) -> None:
    while True:
        await asyncio.sleep(WORKING_SECONDS)
        message, said.message = said.message, ""
        try:
            await _push(redis, call, Reply(working=message))
        except TROUBLE as error:
            # The caller hears the next one; where Redis stays away, it has lost its own connection too.
            log.debug("control.not_told", op=call.op.value, error=type(error).__name__)


async def _push(redis: Redis, call: Call, reply: Reply) -> None:
    await push_reply(redis, call, wire.encode(reply))


async def _reply(call: Call, redis: Redis, handle: ControlHandler, said: _Said) -> Reply:
    try:
        return await handle(call, redis, said)
    except RedisError:
        raise
    except Exception as error:
        # The call's boundary: a fault of ours, or of a file of ours, is its answer, not the worker's end.
        log.exception("control.fault", op=call.op.value)
        return Reply(error=f"a fault in Spacedock ({type(error).__name__}); the worker's log has the details")
