"""Keeping children alive: each started in order, restarted with growing pauses, stopped in reverse."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Protocol

import structlog

from spacedock.errors import SpacedockError

log = structlog.get_logger()

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
STEADY_SECONDS = 10.0
"""A child that lived this long has earned a quick restart; so has one that somebody killed."""


class Child(Protocol):
    """A process that the daemon owns. start() returns once it works; stop() may be called twice."""

    async def start(self) -> None:
        """Start and wait until it works. Raises SpacedockError, and OSError where no process can be made."""
        ...

    async def ended(self) -> int | None:
        """Return the exit code when it has ended, negative for a signal; None where that is not known."""
        ...

    async def stop(self) -> None:
        """Stop within its own bound."""
        ...


Sleep = Callable[[float], Awaitable[None]]


async def keep_alive(
    name: str, child: Child, sleep: Sleep = asyncio.sleep, clock: Callable[[], float] = monotonic
) -> None:
    """Watch a started child and start it again whenever it ends; runs until cancelled."""
    pause, started = FIRST_PAUSE, clock()
    while True:
        code = await child.ended()
        if code == -signal.SIGKILL or clock() - started > STEADY_SECONDS:
            pause = FIRST_PAUSE
        log.warning("child.died", child=name, code=code, restart_in=pause)
        while True:
            await sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            try:
                await child.start()
            except (SpacedockError, OSError) as error:
                log.warning("child.start_failed", child=name, error=str(error), restart_in=pause)
            else:
                break
        started = clock()
