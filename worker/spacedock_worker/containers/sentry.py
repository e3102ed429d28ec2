"""Acting on what becomes of containers behind the pool's back: deaths, and disks that fill up."""

from __future__ import annotations

import asyncio
from typing import Any, Generic

from spacedock.result import ErrorKind
from spacedock_worker.containers.assign import SlotState
from spacedock_worker.containers.disk import DiskWatch, can_grow, too_much
from spacedock_worker.containers.engine import Engine
from spacedock_worker.containers.lifecycle import Lifecycle
from spacedock_worker.containers.place import Place
from spacedock_worker.containers.places import Places
from spacedock_worker.containers.ready import App
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.watch import Watch


class Sentry(Generic[App]):
    """Watches the places' containers from `start` to `stop`."""

    def __init__(
        self, engine: Engine, settings: ContainerSettings, places: Places[App], lifecycle: Lifecycle[App]
    ) -> None:
        self._places, self._lifecycle, self._disk = places, lifecycle, settings.disk
        self._watches = (
            Watch(engine, settings.instance_id, self._ended),
            DiskWatch(engine, settings.disk, self._writers, self._overwritten),
        )
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Watch from now on."""
        self._tasks = tuple(asyncio.create_task(watch.run()) for watch in self._watches)

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

    def _overwritten(self, name: str, used: int) -> None:
        """A container wrote more to the disk than it may."""
        for place in self._places:
            if place.container is not None and place.container.name == name:
                place.container.condemn(ErrorKind.OUT_OF_DISK, too_much(used, self._disk))
                self._lifecycle.discard(place, at_once=True)


def _can_write(place: Place[Any]) -> bool:
    if place.spec is None:
        # An earlier worker's, which may sleep in name only: nobody has paused it.
        return place.state is not SlotState.STOPPED
    return place.state not in (SlotState.ASLEEP, SlotState.STOPPED) and can_grow(place.spec)
