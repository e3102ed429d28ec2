"""Waiting until the app in a container answers, or it is clear that it will not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.container import RunningContainer
from spacedock_worker.errors import StepError

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_PROBE_SECONDS = 10.0


async def wait_ready(
    container: RunningContainer, probe: Callable[[], Awaitable[bool]], seconds: float
) -> None:
    """Return once `probe` says that the app answers; `probe` never raises.

    Raises StepError at stage `ready`: `crashed` or `out_of_memory` as soon as the container has died, and
    `start_timeout` where the app does not answer within `seconds`.
    """
    answers = asyncio.create_task(_answers(probe))
    dies = asyncio.create_task(container.wait_dead(Stage.READY))
    try:
        await asyncio.wait({answers, dies}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            return await answers
        if dies.done():
            raise await dies
        message = (
            f"the app did not answer within {seconds:g} s of its start. Raise `start_timeout` for this Space."
        )
        raise StepError(Stage.READY, ErrorKind.START_TIMEOUT, message)
    finally:
        answers.cancel()
        dies.cancel()
        await asyncio.gather(answers, dies, return_exceptions=True)


async def _answers(probe: Callable[[], Awaitable[bool]]) -> None:
    pause = _FIRST_PAUSE
    while not await _within_limit(probe):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def _within_limit(probe: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            return await probe()
    except TimeoutError:
        return False
