"""The warm pool: running containers of Spaces, leased to one call at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.assign import Slot, SlotState, Waiter, assign
from spacedock_worker.containers.container import REMOVE_SECONDS, START_SECONDS, RunningContainer
from spacedock_worker.containers.engine import Engine
from spacedock_worker.containers.lease import Lease
from spacedock_worker.containers.ready import App, Connect
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.containers.starter import OnProgress, Starter
from spacedock_worker.containers.task import Completed, Task, TaskLimits
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_CLOSE_SECONDS = START_SECONDS + 3 * REMOVE_SECONDS


@dataclass(slots=True, eq=False)
class _Place(Generic[App]):
    """One container slot. `container` is there once it was begun, `app` once that has answered."""

    id: int
    key: str
    state: SlotState = SlotState.BUSY
    used: int = 0
    container: RunningContainer | None = None
    app: App | None = None
    expiry: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class _Waiting(Generic[App]):
    """A lease in the queue; `granted` becomes the place that it gets."""

    id: int
    key: str
    granted: asyncio.Future[_Place[App]]


class Pool(Generic[App]):
    """At most `max_containers` containers on this host, one for each Space; used within `async with`.

    Entering removes what an earlier life with the same instance id left behind; leaving removes every
    container, whatever happens. The engine may be absent: a lease then fails, the pool does not.
    """

    def __init__(self, engine: Engine, settings: ContainerSettings) -> None:
        self._settings = settings
        self._starter = Starter(engine, settings)
        self._places: dict[int, _Place[App]] = {}
        self._waiting: dict[int, _Waiting[App]] = {}
        self._numbers = itertools.count(1)
        # Not a TaskGroup: a cancellation must not cut removals off.
        self._removals: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        states = Counter(place.state for place in self._places.values())
        counts = ", ".join(f"{states[state]} {state}" for state in SlotState)
        limit = self._settings.max_containers
        return f"<Pool {len(self._places)}/{limit} containers: {counts}; {len(self._waiting)} waiting>"

    async def __aenter__(self) -> Self:
        await self._starter.clean()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove every container; leases that are still open lose theirs. Bounded, safe to call twice."""
        self._closed = True
        for waiting in self._waiting.values():
            if not waiting.granted.done():
                waiting.granted.set_exception(_stopping())
        for place in tuple(self._places.values()):
            self._discard(place)
        closing = asyncio.create_task(self._finish())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
            raise

    async def settled(self) -> None:
        """Return once no container is being removed; bounded as removals are."""
        while self._removals:
            await asyncio.wait(tuple(self._removals))

    @asynccontextmanager
    async def lease(
        self, spec: ContainerSpec, connect: Connect[App], on_progress: OnProgress
    ) -> AsyncIterator[Lease[App]]:
        """A running container of the Space, for this block alone; waits in order of arrival for room.

        `connect` connects to the app; the connection is kept as long as the container. After the block the
        container stays warm, unless the lease was discarded, or the block ended by an error that is neither a
        StepError nor a cancellation: then nobody knows what the app is still doing. Raises StepError at stage
        `start` or `ready` where it cannot be started; the wait for room has no limit of its own, the caller
        cancels it.
        """
        place = await self._place_for(spec.key, on_progress)
        keep = False
        try:
            lease = await self._lease(place, spec, connect, on_progress)
            try:
                yield lease
                keep = not lease.discarded
            except (StepError, asyncio.CancelledError):
                keep = not lease.discarded
                raise
        finally:
            self._release(place, keep=keep)

    async def complete(
        self, spec: ContainerSpec, task: Task, on_progress: OnProgress, limits: TaskLimits | None = None
    ) -> Completed:
        """Run the Space's program once in a container of its own, which is gone soon after, in any case.

        Waits in order of arrival for room as a lease does. Raises StepError; a program that fails is no
        error here: see `Completed.exit_code`.
        """
        # No two tasks have a key in common: none waits for another that runs the same program.
        place = await self._place_for(f"task-{next(self._numbers)}", on_progress)
        try:
            if place.state is SlotState.STOPPING:
                raise _stopping()
            place.container = self._starter.new(spec)
            return await self._starter.complete(
                place.container, spec, task, limits or TaskLimits(), on_progress
            )
        finally:
            self._release(place, keep=False)

    async def _place_for(self, key: str, on_progress: OnProgress) -> _Place[App]:
        if self._closed:
            raise _stopping()
        granted: asyncio.Future[_Place[App]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(next(self._numbers), key, granted)
        self._waiting[waiting.id] = waiting
        try:
            self._reassign()
            if not granted.done():
                on_progress("waiting for room for its container")
            return await granted
        except BaseException:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._release(granted.result(), keep=True)
            raise
        finally:
            self._waiting.pop(waiting.id, None)

    async def _lease(
        self, place: _Place[App], spec: ContainerSpec, connect: Connect[App], on_progress: OnProgress
    ) -> Lease[App]:
        if place.container is not None and place.app is not None:
            if (death := await place.container.death(Stage.READY)) is None:
                return Lease(place.container, place.app, start_seconds=0.0)
            log.info("container.died_idle", space=spec.space, container=place.container.name, kind=death.kind)
            await self._remove(place)
        if place.state is SlotState.STOPPING:
            raise _stopping()
        now = asyncio.get_running_loop().time
        began = now()
        place.container = self._starter.new(spec)
        place.app = await self._starter.run(place.container, spec, connect, on_progress)
        return Lease(place.container, place.app, start_seconds=now() - began)

    def _release(self, place: _Place[App], *, keep: bool) -> None:
        """Give the place back: warm for the next, or to be emptied. No await: nothing can cut it off."""
        if place.state is SlotState.STOPPING:
            return
        if keep and place.app is not None:
            place.state, place.used = SlotState.IDLE, next(self._numbers)
            loop = asyncio.get_running_loop()
            place.expiry = loop.call_later(self._settings.idle_seconds, self._expire, place)
        else:
            self._discard(place)
        self._reassign()

    def _expire(self, place: _Place[App]) -> None:
        if place.state is SlotState.IDLE:
            self._discard(place)

    def _discard(self, place: _Place[App]) -> None:
        """Begin to remove the place's container; the place counts until it is gone."""
        if place.state is SlotState.STOPPING:
            return
        place.state = SlotState.STOPPING
        if place.expiry is not None:
            place.expiry.cancel()
        removal = asyncio.create_task(self._empty(place))
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def _empty(self, place: _Place[App]) -> None:
        await self._remove(place)
        del self._places[place.id]
        self._reassign()

    async def _remove(self, place: _Place[App]) -> None:
        app, place.app = place.app, None
        if app is not None:
            await app.aclose()
        if place.container is not None:
            await self._starter.remove(place.container)

    def _reassign(self) -> None:
        """Carry out what `assign` decides for the present state; awaits nothing."""
        if self._closed:
            return
        slots = [Slot(place.id, place.key, place.state, place.used) for place in self._places.values()]
        waiting = [Waiter(w.id, w.key) for w in self._waiting.values() if not w.granted.done()]
        decision = assign(slots, waiting, self._settings.max_containers)
        for waiter, slot in decision.grants:
            self._grant(self._waiting[waiter], self._places[slot])
        for waiter in decision.starts:
            place: _Place[App] = _Place(next(self._numbers), self._waiting[waiter].key)
            self._places[place.id] = place
            self._grant(self._waiting[waiter], place)
        for slot in decision.evictions:
            self._discard(self._places[slot])

    def _grant(self, waiting: _Waiting[App], place: _Place[App]) -> None:
        place.state = SlotState.BUSY
        if place.expiry is not None:
            place.expiry.cancel()
        waiting.granted.set_result(place)

    async def _finish(self) -> None:
        if self._removals:
            await asyncio.wait(tuple(self._removals), timeout=START_SECONDS + REMOVE_SECONDS)
        await self._starter.close()


def _stopping() -> StepError:
    return StepError(Stage.START, ErrorKind.CANCELLED, "the worker is stopping. The job can run again later.")
