"""Waiting until the app in a container answers, or it is clear that it will not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.pool.timings import StartLimit
from spacedock_worker.errors import StepError

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_CONNECT_SECONDS = 10.0


class Connection(Protocol):
    """A connection to the app in a container; it lives as long as the container does."""

    async def aclose(self) -> None:
        """Close it; safe to call twice, never raises."""
        ...


App = TypeVar("App", bound=Connection)
Connect = Callable[[str], Awaitable[App | None]]
"""Connects to the app at a base URL; None while it does not answer (yet).

Raises StepError where it is clear that it never will, such as a kind of app that has nothing to call.
"""


async def wait_ready(
    container: RunningContainer, connect: Callable[[], Awaitable[App | None]], limit: StartLimit
) -> App:
    """Return the connection to the app once it answers.

    Raises StepError at stage `ready`: `crashed` or `out_of_memory` as soon as the container has died,
    `start_timeout` where the app does not answer within the limit, and what `connect` raises.
    """
    answers = asyncio.create_task(_answers(connect))
    dies = asyncio.create_task(container.wait_dead(Stage.READY))
    try:
        await asyncio.wait({answers, dies}, timeout=limit.seconds, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _give_up(answers, dies)
        raise
    if answers.done():
        dies.cancel()
        await asyncio.gather(dies, return_exceptions=True)
        return await answers
    await _give_up(answers, dies)
    if not dies.cancelled():
        raise dies.result()
    message = f"the app did not answer within {limit.seconds:g} s of its start. {limit.why}"
    raise StepError(Stage.READY, ErrorKind.START_TIMEOUT, message)


async def _give_up(answers: asyncio.Task[App], dies: asyncio.Task[StepError]) -> None:
    """End both tasks; a connection that came too late is closed."""
    answers.cancel()
    dies.cancel()
    connection, _ = await asyncio.gather(answers, dies, return_exceptions=True)
    if not isinstance(connection, BaseException):
        await connection.aclose()


async def _answers(connect: Callable[[], Awaitable[App | None]]) -> App:
    pause = _FIRST_PAUSE
    while (connection := await _within_limit(connect)) is None:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return connection


async def _within_limit(connect: Callable[[], Awaitable[App | None]]) -> App | None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await connect()
    except TimeoutError:
        return None
