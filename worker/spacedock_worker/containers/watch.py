"""Hearing from the engine, at once, which containers of ours have ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog
from aiodocker import Docker

from spacedock.result import Stage
from spacedock_worker.containers.body import OWNER_LABEL
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_ENDS = ("die", "oom", "destroy")
_STREAM_SECONDS = 86_400.0
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


class Watch:
    """Follows the engine's events for one owner's containers.

    `ended` hears the name of a container that has ended, or None where events may have been lost: then
    every container needs a look.
    """

    def __init__(self, engine: Engine, owner: str, ended: Callable[[str | None], None]) -> None:
        self._engine, self._owner, self._ended = engine, owner, ended

    async def run(self) -> None:
        """Follow until cancelled; where the stream ends or breaks, begin again after a growing pause."""
        pause = _FIRST_PAUSE
        while True:
            try:
                async with (
                    self._engine.stream(Stage.CALL, _STREAM_SECONDS) as docker,
                    aclosing(_events(docker, self._owner)) as events,
                ):
                    async for name in events:
                        pause = _FIRST_PAUSE
                        self._ended(name)
            except (RefusedError, StepError, TimeoutError, ValueError) as error:
                log.debug("watch.broken", reason=str(error))
            self._ended(None)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def _events(docker: Docker, owner: str) -> AsyncGenerator[str | None, None]:
    """The names of containers that end; None first, as what happened before was not heard."""
    filters = {"type": ["container"], "event": list(_ENDS), "label": [f"{OWNER_LABEL}={owner}"]}
    params = {"filters": json.dumps(filters)}
    # aiodocker's own events wait in a channel without a bound, and outlive their reader.
    async with docker._query("events", method="GET", params=params) as response:
        yield None
        while line := await response.content.readline():
            name = (json.loads(line).get("Actor") or {}).get("Attributes", {}).get("name")
            if isinstance(name, str):
                yield name
