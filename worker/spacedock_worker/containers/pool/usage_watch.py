"""What running Spaces use of the disk and of memory, asked beside their calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from spacedock.errors import SpacedockError
from spacedock.result import Stage
from spacedock_worker.containers.docker.disk_usage import folder_bytes, upper_folder, volume_bytes
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_SIZE_SECONDS = 60.0
_MISSES = 3
"""How often in a row the engine may fail to count what a container has written; then it is killed."""


class UncountedError(SpacedockError):
    """The engine is there, but what the container has written cannot be counted."""


class DiskWatch:
    """Counts what each container's writable root and volumes take together.

    `writers` names the containers that run now: neither paused nor stopped. What each can write to is asked
    of the engine: its image may declare volumes, which can be written to whatever its root is. `over` hears
    the name and the bytes of each that takes more than `limit`, or None for the bytes of one that could not
    be counted three times in a row: its Space may be the reason. Killing it is the listener's. A Space may be
    over the limit by what it can write within two counts and the pause between them: `pause` seconds, or as
    long as a round took.
    """

    def __init__(
        self,
        engine: Engine,
        limit: int,
        writers: Callable[[], Collection[str]],
        over: Callable[[str, int | None], None],
        pause: float = 2.0,
    ) -> None:
        self._missed: Counter[str] = Counter()
        self._engine, self._limit = engine, limit
        self._writers, self._over, self._pause = writers, over, pause

    async def run(self) -> None:
        """Look until cancelled. A container that cannot be looked at now is looked at the next time."""
        now = asyncio.get_running_loop().time
        while True:
            began, writers = now(), tuple(self._writers())
            self._missed = Counter({name: self._missed[name] for name in writers if self._missed[name]})
            for name in writers:
                await self._look(name)
            # Where the engine must read all files, half of its time is enough for that.
            await asyncio.sleep(max(self._pause, now() - began))

    async def _look(self, name: str) -> None:
        try:
            used = await disk_bytes(self._engine, name, self._limit + 1)
        except (EngineRefusedError, StepError) as error:
            log.info("disk.not_looked_at", container=name, reason=str(error))
            return
        except UncountedError as error:
            self._missed[name] += 1
            log.warning("disk.not_counted", container=name, times=self._missed[name], reason=str(error))
            if self._missed[name] >= _MISSES:
                self._over(name, None)
            return
        del self._missed[name]
        if used > self._limit:
            log.warning("disk.over", container=name, used=used, limit=self._limit)
            self._over(name, used)


async def disk_bytes(engine: Engine, name: str, enough: int) -> int:
    """The bytes of the container's own files and of its volumes; counted no further than `enough` in each.

    Raises RefusedError (404 where there is no such container), StepError `docker_unavailable`, and
    UncountedError where the engine answers, but cannot count.
    """
    async with engine.call(Stage.CALL) as docker:
        found: dict[str, Any] = await docker.containers.container(name).show()
    volumes = {
        mount["Name"]: mount["Source"]
        for mount in found.get("Mounts") or ()
        if mount["Type"] == "volume" and mount.get("RW")
    }
    try:
        read_only = found["HostConfig"].get("ReadonlyRootfs")
        root = 0 if read_only else await _root_bytes(engine, found, enough)
        return root + sum((await volume_bytes(engine, volumes, enough)).values())
    except (EngineRefusedError, StepError) as error:
        if isinstance(error, EngineRefusedError) and error.not_found:
            raise
        raise UncountedError(str(error)) from error


def too_much(used: int | None, limit: int) -> str:
    """Why a container was killed, for people; `used` is None where that could not be counted."""
    if used is None:
        return (
            f"what the app has written to the disk could not be counted {_MISSES} times in a row, so it was "
            "stopped. The worker's log says why (disk.not_counted)."
        )
    return (
        f"the app has written {used / 2**20:,.0f} MB to its root and its cache, more than the "
        f"{limit / 2**20:,.0f} MB that `containers.disk` allows. Raise that, or remove the Space's cache."
    )


async def _root_bytes(engine: Engine, found: dict[str, Any], enough: int) -> int:
    upper = ((found.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
    if not upper:
        # Containerd's store does not tell; the kernel does, where the container runs on this host.
        upper = await asyncio.to_thread(upper_folder, (found.get("State") or {}).get("Pid") or 0, found["Id"])
    if upper and (count := await asyncio.to_thread(folder_bytes, upper, enough)) is not None:
        return count
    async with engine.call(Stage.CALL, _SIZE_SECONDS) as docker:
        sized = await docker.containers.container(found["Id"]).show(size=1)
    # The engine leaves out a size of 0, and makes a size of -1 of one that it could not count.
    size = int(sized.get("SizeRw") or 0)
    if size < 0:
        raise UncountedError("the engine could not count what the container has written")
    return size


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
