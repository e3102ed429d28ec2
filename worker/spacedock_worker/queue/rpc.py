"""Answering control calls: whoever of the workers is first takes a call and pushes its replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial

import structlog
from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock._wire.rpc import SILENCE_SECONDS, WORKING_SECONDS, Call, OnProgress, Op, Reply
from spacedock._wire.scripts import registered
from spacedock.errors import WireError
from spacedock_worker.background import running
from spacedock_worker.errors import contained, kind_of
from spacedock_worker.queue.patience import TROUBLE, through_outages

log = structlog.get_logger()

ControlHandler = Callable[[Call, Redis, OnProgress], Awaitable[Reply]]
Spawn = Callable[[Coroutine[None, None, None]], object]

_WAIT_SECONDS = 5

LONG_SECONDS = 4 * 3600.0
ASKING_SECONDS = 300.0
SHORT_SECONDS = 60.0
"""How long calls of each kind may take; see `Controls`."""


@dataclass(slots=True)
class CallLane:
    """Calls that take about as long: so many at once, so many more that wait, and seconds for each."""

    at_once: int
    waiting: int
    seconds: float
    taken: int = 0
    room: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.room = asyncio.Semaphore(self.at_once)

    @property
    def full(self) -> bool:
        """Whether no further call is taken."""
        return self.taken >= self.at_once + self.waiting


_LONG = frozenset({Op.CLEANUP, Op.LOCK, Op.VALIDATE})
_ASKING = frozenset({Op.ADD, Op.IMPORT, Op.SEARCH, Op.ABOUT, Op.RECOMMEND, Op.PLAN})
"""Calls that may ask the Hub, an image registry or the Docker Engine."""


class Controls:
    """Takes calls and answers each in the lane of its kind, so that long ones do not keep short ones waiting.

    `spawn` starts a task and cancels it when the worker ends.
    """

    def __init__(self, redis: Redis, handle: ControlHandler, spawn: Spawn) -> None:
        self._redis, self._handle, self._spawn = redis, handle, spawn
        self._long, self._asking = CallLane(4, 8, LONG_SECONDS), CallLane(8, 56, ASKING_SECONDS)
        self._short = CallLane(4, 60, SHORT_SECONDS)

    async def take(self) -> None:
        """Take one call, or none within a few seconds, and see to its answer; rubbish is dropped."""
        taken = await answer(self._redis.brpop([keys.CONTROL, keys.ASK], timeout=_WAIT_SECONDS))
        if taken is None:
            return
        try:
            call = wire.decode_bounded(Call, taken[1], wire.MAX_CALL_BYTES)
        except WireError as error:
            log.warning("control.unreadable", error=str(error))
            return
        if taken[0] == keys.ASK.encode() and not call.op.asks:
            # Whoever may only ask has put it there.
            log.warning("control.refused", op=call.op.value)
            await self._push(call, _encoded(Reply(error=f"'{call.op.value}' is for users who may operate")))
            return
        self._spawn(self._answered(call, self._lane(call.op)))

    def _lane(self, op: Op) -> CallLane:
        return self._long if op in _LONG else self._asking if op in _ASKING else self._short

    async def _answered(self, call: Call, lane: CallLane) -> None:
        """Answer a call. Its boundary: nothing that comes of it ends the worker."""
        try:
            if lane.full:
                busy = f"{lane.taken} calls like this are at work or waiting; try again when they have ended"
                await self._push(call, _encoded(Reply(error=busy)))
                return
            lane.taken += 1
            try:
                await self._push(call, await self._reply(call, lane))
            finally:
                lane.taken -= 1
        except Exception:
            log.exception("control.unanswered", op=call.op.value)

    async def _reply(self, call: Call, lane: CallLane) -> bytes:
        said = _Said()
        try:
            telling = running(telling=self._tell(call, said))
            async with telling, lane.room, asyncio.timeout(lane.seconds) as limit:
                return _encoded(await contained(partial(self._handle, call, self._redis, said)))
        except Exception as error:
            # A fault of ours, or of a file of ours, is the call's answer.
            if isinstance(error, TimeoutError) and limit.expired():
                late = f"the call did not end within {lane.seconds:g} s and was stopped"
                return _encoded(Reply(error=late))
            log.exception("control.fault", op=call.op.value)
            fault = f"a fault in Spacedock ({kind_of(error)}); the worker's log has the details"
            return _encoded(Reply(error=fault))

    async def _tell(self, call: Call, said: _Said) -> None:
        """Let the caller hear that somebody is at work for it, until cancelled."""
        while True:
            await asyncio.sleep(WORKING_SECONDS)
            message, said.message = said.message, ""
            try:
                await _push_reply(self._redis, call, _encoded(Reply(working=message)))
            except TROUBLE as error:
                # The caller hears the next one; where Redis stays away, it has lost its own connection too.
                log.debug("control.not_told", op=call.op.value, error=type(error).__name__)

    async def _push(self, call: Call, raw: bytes) -> None:
        await through_outages(lambda: _push_reply(self._redis, call, raw), SILENCE_SECONDS)


class _Said:
    """What a handler said last; a new thing is told soon, the rest is left out."""

    def __init__(self) -> None:
        self.message = ""

    def __call__(self, message: str) -> None:
        self.message = message


def _encoded(reply: Reply) -> bytes:
    """The reply on the wire; what it quotes may be no UTF-8. Raises where it is no JSON."""
    return wire.encode_repaired(reply)


async def _push_reply(redis: Redis, call: Call, raw: bytes) -> None:
    """Push a reply (`raw` on the wire) to whoever made the call."""
    await registered(redis, "reply")(keys=[keys.reply(call.id)], args=[raw, SILENCE_SECONDS])
