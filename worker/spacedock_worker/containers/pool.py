"""The warm pool: running containers of Spaces, leased to calls."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Generic, Self

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.adoption import Adoption
from spacedock_worker.containers.assign import SlotState, assign
from spacedock_worker.containers.container import REMOVE_SECONDS, START_SECONDS
from spacedock_worker.containers.engine import Engine
from spacedock_worker.containers.experience import Experience
from spacedock_worker.containers.holding import Holding
from spacedock_worker.containers.lease import Lease
from spacedock_worker.containers.lifecycle import Hooks, Lifecycle
from spacedock_worker.containers.line import Line
from spacedock_worker.containers.measures import Measures, Unmeasured
from spacedock_worker.containers.place import OnProgress, Place, Waiting
from spacedock_worker.containers.places import Places
from spacedock_worker.containers.ready import App, Connect
from spacedock_worker.containers.sentry import Sentry
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.containers.starter import Starter
from spacedock_worker.containers.task import Completed, Task, TaskLimits
from spacedock_worker.errors import StepError, TryAgainError

log = structlog.get_logger()

_CLOSE_SECONDS = START_SECONDS + 3 * REMOVE_SECONDS
_APP_FAILED = frozenset({ErrorKind.CRASHED, ErrorKind.APP_ERROR, ErrorKind.BAD_OUTPUT})


class Pool(Generic[App]):
    """The Spaces' containers of this host, within its limits; used within `async with`.

    Entering adopts what an earlier life with the same instance id left warm, and removes what else it left;
    leaving removes every container, whatever happens, unless the settings say to keep them warm. The engine
    may be absent, or hang: a lease then fails, the pool does not, and adopts when the engine answers.
    """

    def __init__(self, engine: Engine, settings: ContainerSettings, measures: Measures | None = None) -> None:
        self._settings = settings
        measures = measures or Unmeasured()
        self._starter = Starter(engine, settings, measures)
        self._learned = Experience(measures)
        hooks: Hooks[App] = Hooks(self._reassign, self._failed, self._emptied)
        self._lifecycle = Lifecycle(settings, self._starter, self._learned.profiles, hooks)
        self._places: Places[App] = Places()
        self._line: Line[App] = Line()
        self.holding = Holding(self._places, self._lifecycle, self._learned.quarantine, self._starter)
        self._numbers = itertools.count(1)
        self._sentry = Sentry(engine, settings, self._places, self._lifecycle, measures)
        self._closed = False
        self._adoption = Adoption(self._adopt, self._starter.clean)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {word}" for word, count in self._places.counts().items()) or "none"
        limit = self._settings.max_containers
        return f"<Pool {self._places.taken}/{limit} containers: {counts}; {len(self._line)} waiting>"

    async def __aenter__(self) -> Self:
        await self._adoption.start()
        self._sentry.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove the containers; leases that are still open lose theirs. Bounded, safe to call twice."""
        self._closed = True
        self._line.fail(_stopping())
        closing = asyncio.create_task(self._finish())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
            raise

    async def settled(self) -> None:
        """Return once no container is being started, cooled or removed; bounded as those are."""
        await self._lifecycle.settled()

    @asynccontextmanager
    async def lease(
        self, spec: ContainerSpec, connect: Connect[App], on_progress: OnProgress
    ) -> AsyncIterator[Lease[App]]:
        """A call slot of a running container of the Space, for this block; waits fairly for room.

        `connect` connects to the app; the connection is kept as long as the container. After the block the
        container stays warm, unless the lease was discarded, or the block ended by an error that is neither a
        StepError nor a cancellation: then nobody knows what the app is still doing. Raises StepError at stage
        `start` or `ready` where it cannot be started, and `cancelled` where there is no room for hours.
        """
        place = await self._granted(await self._queued(spec, connect, on_progress))
        began, keep = _now(), False
        lease = place.lease()
        overdue = self._look_again(self._learned.profiles.start_seconds(place.key) or 0.0)
        try:
            yield lease
            keep = True
            self._learned.answered(place, _now() - began, _now())
        except StepError as error:
            keep = True
            await self._went_wrong(place, error, lease)
            raise
        except asyncio.CancelledError:
            keep = True
            raise
        finally:
            overdue.cancel()
            self._release(place, keep=keep and not lease.discarded)

    async def complete(
        self, spec: ContainerSpec, task: Task, on_progress: OnProgress, limits: TaskLimits | None = None
    ) -> Completed:
        """Run the Space's program once in a container of its own, which is gone soon after, in any case.

        Waits fairly for room as a lease does. Raises StepError; a program that fails is no error here: see
        `Completed.exit_code`.
        """
        spec = self._starter.ground.as_started(spec)
        place = await self._granted(await self._queued(spec, None, on_progress))
        try:
            if place.state is SlotState.STOPPING:
                raise _stopping()
            place.container = self._starter.new(spec)
            limits = limits or TaskLimits()
            completed = await self._starter.complete(place.container, spec, task, limits, on_progress)
        finally:
            self._release(place, keep=False)
        if completed.exit_code != 0 and self._starter.blames_root(spec, completed.stderr.text):
            # Only once: the second time its root can be written.
            return await self.complete(spec, task, on_progress, limits)
        return completed

    async def _adopt(self) -> None:
        for survivor in await self._starter.survivors(self._lifecycle.notes):
            self._places.add(self._lifecycle.adopt(next(self._numbers), survivor))

    async def _queued(
        self, spec: ContainerSpec, connect: Connect[App] | None, on_progress: OnProgress
    ) -> Waiting[App]:
        await self._adoption.finish()
        room = await self._starter.ground.room_for(spec)
        if self._closed:
            raise _stopping()
        number = next(self._numbers)
        # No two programs have a key in common: none waits for another that runs the same.
        key = spec.key if connect is not None else f"program-{number}"
        self._learned.quarantine.check(key, _now())
        if connect is not None:
            self._learned.recall(key, spec.digest)
        peak = self._places.peak(key) or self._learned.peak(spec.digest)
        waiting = Waiting(number, key, spec, room, connect, on_progress, _now(), peak)
        self._line.join(waiting)
        return waiting

    async def _granted(self, waiting: Waiting[App]) -> Place[App]:
        """The place that the call gets, its container seen alive."""
        overtaken = self._look_again(self._settings.patience_seconds)
        try:
            while True:
                if self._closed:
                    raise _stopping()
                self._reassign()
                if not waiting.granted.done():
                    waiting.tell_why(self._places.states(waiting.key))
                place = await waiting.turn()
                if waiting.connect is None or not await self._died(place):
                    return place
                waiting.granted = asyncio.get_running_loop().create_future()
        except BaseException:
            granted = waiting.granted
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                # A program's place is still empty.
                self._release(granted.result(), keep=waiting.connect is not None)
            raise
        finally:
            overtaken.cancel()
            self._line.leave(waiting)
            self._forget_starts()

    async def _died(self, place: Place[App]) -> bool:
        """Whether the container has died, or is given up, since the grant; its place is given back then."""
        if place.container is None:
            return True
        death = await place.container.death(Stage.READY)
        if death is None and place.state is SlotState.RUNNING:
            return False
        if death is not None:
            log.info("container.died_idle", space=place.space, kind=death.kind)
            self._lifecycle.discard(place, at_once=True)
        self._release(place, keep=False)
        return True

    def _release(self, place: Place[App], *, keep: bool) -> None:
        """Give the call slot back. No await: nothing can cut it off."""
        place.calls -= 1
        place.since = _now()
        if not keep or place.state is SlotState.STOPPING:
            self._lifecycle.discard(place)
        elif place.calls == 0:
            self._lifecycle.rest(place)
        self._reassign()

    async def _went_wrong(self, place: Place[App], error: StepError, lease: Lease[App]) -> None:
        self._learned.failed(place, error, _now())
        container, spec = place.container, place.spec
        if container is None or spec is None or not spec.read_only or error.kind not in _APP_FAILED:
            return
        if self._starter.blames_root(spec, f"{error}\n{await container.words()}"):
            lease.discard()
            raise TryAgainError(error) from error

    def _failed(self, place: Place[App], error: StepError) -> None:
        """No container could be brought up: everybody who waits for one of that Space hears why."""
        self._lifecycle.discard(place)
        # One that sleeps, or is being woken, serves as well.
        others = bool(self._places.states(place.key) - {SlotState.STOPPING, SlotState.STOPPED})
        self._learned.not_started(place, error, _now(), others=others)
        if not others:
            self._line.fail(error, place.key)

    def _emptied(self, place: Place[App]) -> None:
        self._places.drop(place)
        self._reassign()

    def _reassign(self) -> None:
        """Carry out what `assign` decides for the present state; awaits nothing."""
        if self._closed:
            return
        now, patience = _now(), self._settings.patience_seconds
        profiles, ground = self._learned.profiles, self._starter.ground
        slots, paces = self._places.slots(profiles, now), self._places.paces(profiles, now)
        waiters = [waiting.waiter(patience, now) for waiting in self._line]
        spare = ground.spare_memory if any(waiter.peak for waiter in waiters) else None
        decision = assign(slots, waiters, ground.limit, paces, spare)
        for waiter, slot in decision.grants:
            self._grant(self._line[waiter], self._places[slot])
        for slot in decision.wakes:
            self._bring_up(self._places[slot], self._line.first(self._places[slot].key))
        for waiter in decision.starts:
            self._start(self._line[waiter])
        for slot in decision.evictions:
            self._lifecycle.give_up(self._places[slot])
        for place in self._places.stopped_beyond(self._settings.max_containers):
            self._lifecycle.discard(place)

    def _start(self, waiting: Waiting[App]) -> None:
        place = waiting.place(next(self._numbers))
        self._places.add(place)
        if waiting.connect is None:
            self._grant(waiting, place)
        else:
            self._bring_up(place, waiting)

    def _bring_up(self, place: Place[App], waiting: Waiting[App]) -> None:
        self._lifecycle.bring_up(place, waiting, partial(self._line.tell, place.key))

    def _grant(self, waiting: Waiting[App], place: Place[App]) -> None:
        self._lifecycle.use(place)
        place.calls += 1
        place.since = _now()
        waiting.granted.set_result(place)

    def _forget_starts(self) -> None:
        """End the start of a container that nobody waits for any more."""
        for place in self._places:
            abandoned = place.state is SlotState.STARTING and not self._line.wants(place)
            if abandoned and place.app is None and SlotState.RUNNING not in self._places.states(place.key):
                self._lifecycle.discard(place)

    def _look_again(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._reassign)

    async def _finish(self) -> None:
        await self._adoption.stop()
        kept: list[str] = []
        for place in self._places:
            left = await self._lifecycle.leave(place) if self._settings.keep_warm else None
            if left is None:
                self._lifecycle.discard(place, at_once=True)
            else:
                kept.append(left)
        await self._sentry.stop()
        await self._lifecycle.close(START_SECONDS + REMOVE_SECONDS)
        await self._starter.close(kept)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _stopping() -> StepError:
    return StepError(Stage.START, ErrorKind.CANCELLED, "the worker is stopping. The job can run again later.")
