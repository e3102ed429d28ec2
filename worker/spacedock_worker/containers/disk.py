"""What running Spaces write to the disk, looked at every few seconds: no engine bounds it everywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from typing import Any

import structlog

from spacedock.result import Stage
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.containers.usage import folder_bytes, volume_bytes
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_SIZE_SECONDS = 60.0


class DiskWatch:
    """Counts what each container's writable root and volumes take together.

    `writers` names the containers that can write now: neither paused nor stopped, and with a writable root,
    a cache or a workspace. One with a read-only root and nothing but folders in memory cannot grow. `over`
    hears the name and the bytes of each that takes more than `limit`; killing it is the listener's. A Space
    may be over the limit by what it can write within `pause` seconds and one count.
    """

    def __init__(
        self,
        engine: Engine,
        limit: int,
        writers: Callable[[], Collection[str]],
        over: Callable[[str, int], None],
        pause: float = 2.0,
    ) -> None:
        self._engine, self._limit = engine, limit
        self._writers, self._over, self._pause = writers, over, pause

    async def run(self) -> None:
        """Look until cancelled. A container that cannot be looked at now is looked at the next time."""
        while True:
            for name in tuple(self._writers()):
                try:
                    used = await disk_bytes(self._engine, name, self._limit + 1)
                except (RefusedError, StepError) as error:
                    log.debug("disk.not_counted", container=name, reason=str(error))
                    continue
                if used > self._limit:
                    log.warning("disk.over", container=name, used=used, limit=self._limit)
                    self._over(name, used)
            await asyncio.sleep(self._pause)


async def disk_bytes(engine: Engine, name: str, enough: int) -> int:
    """The bytes of the container's own files and of its volumes; counted no further than `enough` in each.

    Raises RefusedError (404 where there is no such container) and StepError `docker_unavailable`.
    """
    async with engine.call(Stage.CALL) as docker:
        found: dict[str, Any] = await docker.containers.container(name).show()
    root = 0
    if not found["HostConfig"].get("ReadonlyRootfs"):
        root = await _root_bytes(engine, name, found, enough)
    volumes = {
        mount["Name"]: mount["Source"]
        for mount in found.get("Mounts") or ()
        if mount["Type"] == "volume" and mount.get("RW")
    }
    return root + sum((await volume_bytes(engine, volumes, enough)).values())


def can_grow(spec: ContainerSpec) -> bool:
    """Whether an app's container can write anywhere but to memory; a program always has its workspace."""
    return not spec.read_only or (spec.cache is not None and not spec.private)


def too_much(used: int, limit: int) -> str:
    """Why a container was killed, for people."""
    return (
        f"the app has written {used / 2**20:,.0f} MB to its root and its cache, more than the "
        f"{limit / 2**20:,.0f} MB that `containers.disk` allows. Raise that, or remove the Space's cache."
    )


async def _root_bytes(engine: Engine, name: str, found: dict[str, Any], enough: int) -> int:
    upper = ((found.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
    if upper and (count := await asyncio.to_thread(folder_bytes, upper, enough)) is not None:
        return count
    params = {"all": "1", "size": "1", "filters": json.dumps({"name": [f"^/?{name}$"]})}
    async with engine.call(Stage.CALL, _SIZE_SECONDS) as docker:
        listed = await docker._query_json("containers/json", params=params)
    return sum(container.get("SizeRw") or 0 for container in listed)
