"""Watching what Spaces write to their roots and caches: the engine itself has no limit for either."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from spacedock.result import Stage
from spacedock_worker.containers.body import OWNER_LABEL
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.errors import StepError

log = structlog.get_logger()

PERIOD = 5.0
_SIZES_SECONDS = 60.0


class DiskWatch:
    """Looks every 5 s at the running containers of one owner; `over` hears which wrote too much, and why.

    What is written between two looks comes on top of `limit` (bytes). A container with a read-only root and
    no cache writes to memory only.
    """

    def __init__(self, engine: Engine, owner: str, limit: int, over: Callable[[str, str], None]) -> None:
        self._engine, self._owner, self._limit, self._over = engine, owner, limit, over

    async def run(self) -> None:
        """Look until cancelled; an engine that is away is asked again."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.look()
            except (RefusedError, StepError) as error:
                log.debug("disk.not_measured", reason=str(error))

    async def look(self) -> None:
        """Look once. Raises RefusedError or StepError."""
        filters = json.dumps({"label": [f"{OWNER_LABEL}={self._owner}"]})
        async with self._engine.call(Stage.CALL, _SIZES_SECONDS) as docker:
            found = await docker.containers.list(size=True, filters=filters)
            sources = {name: path for c in found for name, path in _volumes(c["Mounts"]).items()}
            unseen = [name for name, path in sources.items() if not os.access(path, os.R_OK | os.X_OK)]
            told = await _told(docker) if unseen else {}
        sizes = {name: told.get(name, 0) for name in unseen}
        for name in sources.keys() - sizes.keys():
            sizes[name] = await asyncio.to_thread(_size, sources[name])
        for container in found:
            used = int(container._container.get("SizeRw") or 0)
            used += sum(sizes[name] for name in _volumes(container["Mounts"]))
            if used > self._limit:
                self._over(container["Names"][0].removeprefix("/"), _why(used, self._limit))


def _volumes(mounts: list[Mapping[str, Any]]) -> dict[str, Path]:
    """The volumes that a container writes to, by name, and where the engine's machine has them."""
    written = [mount for mount in mounts if mount.get("Type") == "volume" and mount.get("RW")]
    return {str(mount["Name"]): Path(str(mount["Source"])) for mount in written}


async def _told(docker: Any) -> dict[str, int]:
    """The sizes of all volumes as the engine measures them, where this process must not look."""
    answer = await docker._query_json("system/df", method="GET")
    volumes = answer.get("Volumes") or []
    return {v["Name"]: int((v.get("UsageData") or {}).get("Size") or 0) for v in volumes}


def _size(folder: Path) -> int:
    """The bytes on the disk of all files below; what vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return total


def _why(used: int, limit: int) -> str:
    return (
        f"the app wrote {used / 2**30:.1f} GB to its root and cache, more than its {limit / 2**30:.1f} GB of "
        "disk. Raise `disk` in the configuration."
    )
