"""Taking over what an earlier life of the worker left once the engine answers, and tidying up after that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from spacedock_worker.errors import StepError

log = structlog.get_logger()

_FIRST_SECONDS = 1.0
"""How long the start of the worker waits for the first try at most: an engine that hangs must not keep it."""

_PAUSE = 5.0


class Adoption:
    """Does `take` once; that raises StepError while the engine cannot be asked, and is then tried again.

    After it, `tidy` is done again and again: a container whose removal failed must not wait for the next
    start, as nobody watches what it writes.
    """

    def __init__(
        self, take: Callable[[], Awaitable[None]], tidy: Callable[[], Awaitable[None]], pause: float = _PAUSE
    ) -> None:
        self._take, self._tidy, self._pause = take, tidy, pause
        self._done = False
        self._taking = asyncio.Lock()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; returns after the first try, or after 1 s where that takes longer."""
        self._task = asyncio.create_task(self._run())
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SECONDS):
                await self._tried.wait()

    async def stop(self) -> None:
        """Try no longer; twice, or before the start, is safe."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def finish(self) -> None:
        """Return once it is done, now if the engine answers. Raises StepError."""
        async with self._taking:
            if not self._done:
                await self._take()
                self._done = True

    async def _run(self) -> None:
        while True:
            try:
                await self.finish()
                self._tried.set()
                await self._tidy()
            except StepError as error:
                if not self._tried.is_set():
                    log.warning("adoption.waits_for_the_engine", reason=str(error))
            except Exception:
                # The task's boundary: a fault of ours here must not leave earlier containers for ever.
                log.exception("adoption.fault")
            self._tried.set()
            await asyncio.sleep(self._pause)
