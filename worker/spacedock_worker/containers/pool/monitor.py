"""Acting on what becomes of containers behind the pool's back: deaths, disks that fill up, memory used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Generic

import structlog
from aiodocker import Docker

from spacedock.result import ErrorKind, Stage
from spacedock_worker.background import cancel_all, forever
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.pool.history import History
from spacedock_worker.containers.pool.lifecycle import Lifecycle
from spacedock_worker.containers.pool.readiness import App
from spacedock_worker.containers.pool.slots import Slot, Slots, SlotState
from spacedock_worker.containers.pool.usage_watch import DiskWatch, MemoryWatch, too_much
from spacedock_worker.containers.settings import ContainerSettings
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
                    # An engine that restarts ends it, and containers that ended just before did not crash.
                    self._engine.outages += 1
            except (EngineRefusedError, StepError, TimeoutError, ValueError) as error:
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


_FAULT_PAUSE = 5.0


class Monitor(Generic[App]):
    """Watches the slots' containers from `start` to `stop`."""

    def __init__(
        self,
        engine: Engine,
        settings: ContainerSettings,
        slots: Slots[App],
        lifecycle: Lifecycle[App],
        history: History,
    ) -> None:
        self._slots, self._lifecycle, self._disk = slots, lifecycle, settings.disk
        self._history = history
        self._watches = (
            Watch(engine, settings.instance_id, self._ended),
            DiskWatch(engine, settings.disk, self._writers, self._overwritten),
            MemoryWatch(engine, self._users, self._used),
        )
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Watch from now on."""
        self._tasks = tuple(
            asyncio.create_task(forever(type(watch).__name__, watch.run, retry=_FAULT_PAUSE))
            for watch in self._watches
        )

    async def stop(self) -> None:
        """Watch no longer; twice, or before the start, is safe."""
        tasks, self._tasks = self._tasks, ()
        await cancel_all(*tasks)

    def _ended(self, name: str | None) -> None:
        """A container ended, or (None) any may have."""
        for slot in self._slots:
            if slot.container is not None and name in (None, slot.container.name):
                slot.container.notify()
                self._lifecycle.check(slot)

    def _writers(self) -> list[str]:
        """The containers that can write to the disk now."""
        return [
            slot.container.name for slot in self._slots if slot.container is not None and _can_write(slot)
        ]

    def _overwritten(self, name: str, used: int | None) -> None:
        """A container wrote more to the disk than it may."""
        for slot in self._slots:
            if slot.container is not None and slot.container.name == name:
                slot.container.mark_failed(ErrorKind.OUT_OF_DISK, too_much(used, self._disk))
                self._lifecycle.discard(slot, at_once=True)

    def _users(self) -> Mapping[str, float]:
        """The running containers, each with the time of its last use."""
        now = asyncio.get_running_loop().time()
        return {
            slot.container.name: now if slot.calls > 0 else slot.since
            for slot in self._slots
            if slot.container is not None and slot.state is SlotState.RUNNING
        }

    def _used(self, name: str, memory: int) -> None:
        """A container was seen to use so many bytes of memory."""
        for slot in self._slots:
            if slot.container is not None and slot.container.name == name:
                self._history.peaked(slot, memory)


def _can_write(slot: Slot[Any]) -> bool:
    if slot.spec is None:
        # An earlier worker's, which may sleep in name only: nobody has paused it.
        return slot.state is not SlotState.STOPPED
    return slot.state not in (SlotState.ASLEEP, SlotState.STOPPED)
