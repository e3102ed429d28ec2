"""Waiting within a bound for what this host lacks for a while: room on its disk, a GPU that others use."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

import structlog

from spacedock.result import Stage
from spacedock_worker.errors import HostBusyError, full_disk
from spacedock_worker.jobs.chain import StepContext

log = structlog.get_logger()

WAIT_SECONDS = 120.0
"""How long a step waits for it, before the next one of the chain is taken."""

PAUSE_SECONDS = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

_T = TypeVar("_T")


async def once_there_is_room(work: Callable[[], Awaitable[_T]], context: StepContext) -> _T:
    """What the work returns, begun again while this host has no room for it.

    Raises HostBusyError where it has none after WAIT_SECONDS.
    """
    give_up = monotonic() + WAIT_SECONDS
    while True:
        try:
            return await work()
        except HostBusyError as error:
            busy = error
        except OSError as error:
            if error.errno not in _FULL:
                raise
            busy = full_disk(context.stage, f"{context.name} cannot be prepared")
        if monotonic() > give_up:
            raise busy
        log.info("step.waits_for_host", step=context.name, stage=busy.stage.value, kind=busy.kind.value)
        context.enter(Stage.WAIT, str(busy))
        await asyncio.sleep(PAUSE_SECONDS)
