"""Background loops: all survive trouble in one way, none ends unnoticed. Programs; the wish to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any

import structlog

log = structlog.get_logger()

RETRY_SECONDS = 0.5
_AGAIN_SECONDS = 60.0
"""After so long the same trouble is logged again."""


async def cancel_all(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait for their ends; what they raise does not matter any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def forever(
    name: str,
    turn: Callable[[], Awaitable[object]],
    pause: float = 0.0,
    *,
    trouble: tuple[type[Exception], ...] = (),
    retry: float = RETRY_SECONDS,
) -> None:
    """Run a loop turn after turn, until cancelled; it rests `pause` seconds after each.

    The turn's boundary: neither `trouble` that is expected, such as a Redis that is away, nor a fault of ours
    ends the loop. Both are logged when they begin, now and then while they last, and when they are over.
    """
    last, logged = "", 0.0
    while True:
        try:
            await turn()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if said != last or monotonic() - logged > _AGAIN_SECONDS:
                if isinstance(error, trouble):
                    log.warning("loop.troubled", loop=name, error=said)
                else:
                    log.exception("loop.fault", loop=name)
                logged = monotonic()
            last = said
            await asyncio.sleep(max(pause, retry))
        else:
            if last:
                log.info("loop.recovered", loop=name)
            last = ""
            if pause > 0:
                await asyncio.sleep(pause)


@asynccontextmanager
async def running(**work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Background work, by its names, that lives as long as the block. What ends by a fault is logged."""
    tasks = [asyncio.create_task(one) for one in work.values()]
    for name, task in zip(work, tasks, strict=True):
        task.add_done_callback(partial(_tell_fault, name))
    try:
        yield
    finally:
        await cancel_all(*tasks)


def _tell_fault(name: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("worker.background_ended", task=name, exc_info=error)


async def left_after(
    tasks: Sequence[asyncio.Task[None]], seconds: float, hurry: asyncio.Event
) -> set[asyncio.Task[None]]:
    """The tasks that have not ended after so many seconds, or when `hurry` is set."""
    if not tasks:
        return set()
    ending, hurrying = asyncio.ensure_future(asyncio.wait(tasks)), asyncio.ensure_future(hurry.wait())
    await asyncio.wait({ending, hurrying}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (ending, hurrying):
        waiting.cancel()
    return {task for task in tasks if not task.done()}


async def said_by(*command: str, to: bytes, seconds: float) -> bytes:
    """What a program says to those bytes, empty where it ends with an error; it is killed when time is up.

    Raises OSError where it cannot be started, and TimeoutError.
    """
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=null)
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate(to)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
    return said if process.returncode == 0 else b""


DRAIN, AT_ONCE = signal.SIGTERM, signal.SIGINT
"""What a worker is sent to let its jobs end first, and what to give them back at once."""


class Stop(asyncio.Event):
    """Is set to stop a process; its `hurry` is set too where what runs must not be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.hurry = asyncio.Event()

    def ask(self) -> None:
        """Stop; in a hurry where that was asked before."""
        if self.is_set():
            self.hurry.set()
        self.set()

    def at_once(self) -> None:
        """Stop in a hurry: whoever started the process is gone, or says so."""
        self.hurry.set()
        self.set()
