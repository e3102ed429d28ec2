"""Acting on what becomes of containers behind the pool's back: deaths, disks that fill up, memory used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Generic, Protocol

import structlog

from spacedock.result import ErrorKind
from spacedock_worker.containers.assign import SlotState
from spacedock_worker.containers.disk import DiskWatch, too_much
from spacedock_worker.containers.engine import Engine
from spacedock_worker.containers.lifecycle import Lifecycle
from spacedock_worker.containers.measures import Measures
from spacedock_worker.containers.memory import MemoryWatch
from spacedock_worker.containers.place import Place
from spacedock_worker.containers.places import Places
from spacedock_worker.containers.ready import App
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.watch import Watch

log = structlog.get_logger()

_FAULT_PAUSE = 5.0


class Watcher(Protocol):
    """Watches until it is cancelled."""

    async def run(self) -> None:
        """Watch."""
        ...


class Sentry(Generic[App]):
    """Watches the places' containers from `start` to `stop`."""

    def __init__(
        self,
        engine: Engine,
        settings: ContainerSettings,
        places: Places[App],
        lifecycle: Lifecycle[App],
        measures: Measures,
    ) -> None:
        self._places, self._lifecycle, self._disk = places, lifecycle, settings.disk
        self._measures = measures
        self._watches = (
            Watch(engine, settings.instance_id, self._ended),
            DiskWatch(engine, settings.disk, self._writers, self._overwritten),
            MemoryWatch(engine, self._users, self._used),
        )
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Watch from now on."""
        self._tasks = tuple(asyncio.create_task(kept_up(watch)) for watch in self._watches)

    async def stop(self) -> None:
        """Watch no longer; twice, or before the start, is safe."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, name: str | None) -> None:
        """A container ended, or (None) any may have."""
        for place in self._places:
            if place.container is not None and name in (None, place.container.name):
                place.container.stir()
                self._lifecycle.check(place)

    def _writers(self) -> list[str]:
        """The containers that can write to the disk now."""
        return [
            place.container.name
            for place in self._places
            if place.container is not None and _can_write(place)
        ]

    def _overwritten(self, name: str, used: int | None) -> None:
        """A container wrote more to the disk than it may."""
        for place in self._places:
            if place.container is not None and place.container.name == name:
                place.container.condemn(ErrorKind.OUT_OF_DISK, too_much(used, self._disk))
                self._lifecycle.discard(place, at_once=True)

    def _users(self) -> Mapping[str, float]:
        """The running containers, each with the time of its last use."""
        now = asyncio.get_running_loop().time()
        return {
            place.container.name: now if place.calls > 0 else place.since
            for place in self._places
            if place.container is not None and place.state is SlotState.RUNNING
        }

    def _used(self, name: str, memory: int) -> None:
        """A container was seen to use so many bytes of memory."""
        for place in self._places:
            if place.container is not None and place.container.name == name:
                peak = place.container.peak_memory = max(memory, place.container.peak_memory or 0)
                place.peak = max(peak, place.peak)
                if place.digest:
                    self._measures.peaked(place.digest, peak)


async def kept_up(watch: Watcher, pause: float = _FAULT_PAUSE) -> None:
    """Watch until cancelled, in spite of faults of ours: one that ended unheard would leave no guard."""
    while True:
        try:
            await watch.run()
        except Exception:
            log.exception("watch.fault", watch=type(watch).__name__)
        await asyncio.sleep(pause)


def _can_write(place: Place[Any]) -> bool:
    if place.spec is None:
        # An earlier worker's, which may sleep in name only: nobody has paused it.
        return place.state is not SlotState.STOPPED
    return place.state not in (SlotState.ASLEEP, SlotState.STOPPED)
