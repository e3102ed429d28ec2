"""Waiting for a Redis that is away, within bounds: what it does to a job is never the job's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

import structlog
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from spacedock._wire.connection import OUTAGES
from spacedock.errors import StoreAwayError, StoreFullError
from spacedock_worker.errors import GiveBackError

log = structlog.get_logger()

_STORE = (StoreAwayError, StoreFullError)
TROUBLE = (RedisError, OSError, *_STORE)
"""Redis or the store of files is away, or refuses (full, read-only while it fails over): later it may not."""

OUTAGE_SECONDS = 600.0
"""How long a job waits for Redis before it is given back."""

STORE_SECONDS = 60.0
"""How long a job waits for the store of files: another host may reach it."""

PAUSE_SECONDS = 0.2
_PASSING = ("MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")

_T = TypeVar("_T")


def passes(error: BaseException) -> bool:
    """Whether the same call may work later; a wrong type or a missing right stays as it is."""
    if isinstance(error, (*OUTAGES, *_STORE, ReadOnlyError, OutOfMemoryError)):
        return True
    return isinstance(error, RedisError) and str(error).startswith(_PASSING)


async def through_outages(
    call: Callable[[], Awaitable[_T]],
    seconds: float = OUTAGE_SECONDS,
    store_seconds: float | None = None,
) -> _T:
    """What the call to Redis or the store of files returns, tried again while they are away or refuse.

    Raises GiveBackError where that takes longer than `seconds`, or `store_seconds` (STORE_SECONDS) for the
    store.
    """
    begun = monotonic()
    while True:
        try:
            return await call()
        except TROUBLE as error:
            if not passes(error):
                raise
            what, most = ("Redis was away", seconds)
            if isinstance(error, _STORE):
                what, most = str(error), STORE_SECONDS if store_seconds is None else store_seconds
            if monotonic() > begun + most:
                raise GiveBackError(f"{what} (for {most:g} s)") from error
            log.debug("redis.waited_for", error=type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)
