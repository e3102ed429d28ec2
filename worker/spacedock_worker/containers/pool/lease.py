"""A container while one call uses it alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Generic

from spacedock.result import Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.pool.readiness import App
from spacedock_worker.errors import StepError


class Lease(Generic[App]):
    """A running container, for one user at a time; `app` is the connection to what answers in it.

    `start_seconds` is the time that starting it took, from creation to readiness: 0.0 where it was warm.
    """

    def __init__(self, container: RunningContainer, app: App, start_seconds: float) -> None:
        self._container = container
        self.app = app
        self.start_seconds = start_seconds
        self.discarded = False

    @property
    def peak_memory(self) -> int | None:
        """The most bytes that the container was seen to use since its start; None: nobody has looked."""
        return self._container.peak_memory

    def discard(self) -> None:
        """Have the container removed at release, because what the call left in it is not known."""
        self.discarded = True

    async def wait_dead(self) -> StepError:
        """Return when the container has died, with why (`crashed`, `out_of_memory`) and its last words."""
        return await self._container.wait_dead(Stage.CALL)

    async def with_log(self, error: StepError, since: float) -> StepError:
        """The error with the last lines of what the app has logged since then (seconds of the epoch)."""
        return await self._container.with_log(error, since)

    async def explain(self, within: float = 1.0) -> StepError | None:
        """Why the container is not running; None while it runs.

        `within` gives a container that is just dying so many seconds to be seen dead. Raises StepError
        `docker_unavailable` where the engine cannot say.
        """
        if within > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    return await self.wait_dead()
        return await self._container.death(Stage.CALL)
