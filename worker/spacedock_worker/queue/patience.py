"""Waiting for a Redis that is away, within bounds: what it does to a job is never the job's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

import structlog
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from spacedock._wire.connection import OUTAGES
from spacedock_worker.errors import GiveBackError

log = structlog.get_logger()

TROUBLE = (RedisError, OSError)
"""Redis is away or refuses (out of memory, read-only while it fails over): later it may not."""

OUTAGE_SECONDS = 600.0
"""How long a job waits for Redis before it is given back."""

PAUSE_SECONDS, TURN_PAUSE_SECONDS = 0.2, 0.5
_PASSING = ("MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")

_T = TypeVar("_T")


def passes(error: BaseException) -> bool:
    """Whether the same call may work later; a wrong type or a missing right stays as it is."""
    if isinstance(error, (*OUTAGES, ReadOnlyError, OutOfMemoryError)):
        return True
    return isinstance(error, RedisError) and str(error).startswith(_PASSING)


async def through_outages(call: Callable[[], Awaitable[_T]], seconds: float = OUTAGE_SECONDS) -> _T:
    """What the call to Redis returns, tried again while Redis is away or refuses for a while.

    Raises GiveBackError where that takes longer than `seconds`.
    """
    give_up = monotonic() + seconds
    while True:
        try:
            return await call()
        except TROUBLE as error:
            if not passes(error):
                raise
            if monotonic() > give_up:
                raise GiveBackError(f"Redis was away for {seconds:g} s") from error
            log.debug("redis.waited_for", error=type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)


async def forever(loop: str, turn: Callable[[], Awaitable[None]]) -> None:
    """Run one of the worker's loops, turn after turn, until cancelled.

    The turn's boundary: neither a Redis that is away or odd nor a fault of ours ends a loop; both are logged.
    """
    troubled = False
    while True:
        try:
            await turn()
        except Exception as error:
            if not troubled and isinstance(error, TROUBLE):
                log.warning("redis.away", loop=loop, error=str(error) or type(error).__name__)
            elif not troubled:
                log.exception("worker.fault", loop=loop)
            troubled = True
            await asyncio.sleep(TURN_PAUSE_SECONDS)
        else:
            if troubled:
                log.info("redis.back", loop=loop)
            troubled = False
