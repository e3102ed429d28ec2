"""How much memory running Spaces use, asked beside their calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_EVERY_SECONDS = 3.0
_PAUSE_SECONDS = 0.5


class MemoryWatch:
    """Asks after containers that were used since they were asked after last, every few seconds at most.

    `users` names the running containers, each with the time (of the event loop) of its last use; `seen`
    hears the name and the most bytes that the container has used, as far as the engine can tell.
    """

    def __init__(
        self, engine: Engine, users: Callable[[], Mapping[str, float]], seen: Callable[[str, int], None]
    ) -> None:
        self._engine, self._users, self._seen = engine, users, seen

    async def run(self) -> None:
        """Ask until cancelled. A container that cannot be asked after now is the next time."""
        now = asyncio.get_running_loop().time
        asked: dict[str, float] = {}
        while True:
            users = self._users()
            asked = {name: at for name, at in asked.items() if name in users}
            for name, used in users.items():
                before = asked.get(name)
                if before is not None and (used <= before or now() - before < _EVERY_SECONDS):
                    continue
                asked[name] = now()
                try:
                    peak = await peak_bytes(self._engine, name)
                except (EngineRefusedError, StepError) as error:
                    log.debug("memory.not_asked", container=name, reason=str(error))
                    continue
                if peak > 0:
                    self._seen(name, peak)
            await asyncio.sleep(_PAUSE_SECONDS)


async def peak_bytes(engine: Engine, name: str) -> int:
    """The most memory that the container has used, as far as the engine knows; 0 of one that does not run.

    Raises RefusedError (404 where there is no such container) and StepError `docker_unavailable`.
    """
    params = {"stream": "0", "one-shot": "1"}
    async with engine.call(Stage.CALL) as docker:
        found = await docker._query_json(f"containers/{name}/stats", params=params)
    # Of a container that is just ending the engine says nothing at all.
    return peak_of((found or {}).get("memory_stats") or {})


def peak_of(stats: Mapping[str, Any]) -> int:
    """The bytes that `docker stats` would show: without the files in the cache that nobody uses.

    Under cgroup v1 it is the peak since the container's start, under v2 what is used now: the API leaves
    `memory.peak` out.
    """
    details = stats.get("stats") or {}
    unused = details.get("total_inactive_file", details.get("inactive_file", 0))
    used = max(stats.get("max_usage", 0), stats.get("usage", 0))
    return max(0, int(used) - int(unused))
