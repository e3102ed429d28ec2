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
from spacedock_worker.containers.docker.container import REMOVE_SECONDS, START_SECONDS
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.task import Completed, Task, TaskLimits
from spacedock_worker.containers.pool.adoption import Adoption
from spacedock_worker.containers.pool.history import History
from spacedock_worker.containers.pool.lease import Lease
from spacedock_worker.containers.pool.lifecycle import Lifecycle
from spacedock_worker.containers.pool.monitor import Monitor
from spacedock_worker.containers.pool.readiness import App, Connect
from spacedock_worker.containers.pool.scheduler import assign
from spacedock_worker.containers.pool.slots import OnProgress, Slot, Slots, SlotState, Waiter, WaitQueue
from spacedock_worker.containers.pool.starter import Starter
from spacedock_worker.containers.pool.view import PoolView
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError, TryAgainError
from spacedock_worker.profiling.profiles import ProfileStore

log = structlog.get_logger()

_CLOSE_SECONDS = START_SECONDS + 3 * REMOVE_SECONDS
_APP_FAILED = frozenset({ErrorKind.CRASHED, ErrorKind.APP_ERROR, ErrorKind.BAD_OUTPUT})


class Pool(Generic[App]):
    """The Spaces' containers of this host, within its limits; used within `async with`.

    Entering adopts what an earlier life with the same instance id left warm, and removes what else it left;
    leaving removes every container, whatever happens, unless the settings say to keep them warm. The engine
    may be absent, or hang: a lease then fails, the pool does not, and adopts when the engine answers.
    A chain of steps tells by `expecting` whom it may still ask (`History.expecting`).
    """

    def __init__(
        self, engine: Engine, settings: ContainerSettings, measures: ProfileStore | None = None
    ) -> None:
        self._settings = settings
        measures = measures or ProfileStore()
        self._starter: Starter[App] = Starter(engine, settings, measures)
        self._history = History(measures)
        self.expecting = self._history.expecting
        self._slots: Slots[App] = Slots()
        self._lifecycle = Lifecycle(
            settings, self._starter, self._history, self._slots, self._reassign, self._failed
        )
        self._wait_queue: WaitQueue[App] = WaitQueue()
        self.view = PoolView(self._slots, self._lifecycle, self._history, self._starter, self._wait_queue)
        self._numbers = itertools.count(1)
        self._monitor = Monitor(engine, settings, self._slots, self._lifecycle, self._history)
        self._closed = False
        adopt = partial(self._lifecycle.adopt, engine, self._numbers)
        self._adoption = Adoption(adopt, self._starter.clean)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {word}" for word, count in self._slots.counts().items()) or "none"
        limit = self._settings.max_containers
        return f"<Pool {self._slots.taken}/{limit} containers: {counts}; {len(self._wait_queue)} waiting>"

    async def __aenter__(self) -> Self:
        await self._adoption.start()
        self._monitor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove the containers; leases that are still open lose theirs. Bounded, safe to call twice."""
        self._closed = True
        self._wait_queue.fail(_stopping())
        closing = asyncio.create_task(self._finish())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
            raise

    async def settled(self) -> None:
        """Return once no container is being started, paused or removed; bounded as those are."""
        await self._lifecycle.settled()

    @asynccontextmanager
    async def lease(
        self, spec: ContainerSpec, connect: Connect[App], on_progress: OnProgress, owner: str = ""
    ) -> AsyncIterator[Lease[App]]:
        """A call slot of a running container of the Space, for this block; waits fairly for room.

        Of those that wait for a Space, each `owner` is served in turn with the others.

        `connect` connects to the app; the connection is kept as long as the container. After the block the
        container stays warm, unless the lease was discarded, or the block ended by an error that is neither a
        StepError nor a cancellation: then nobody knows what the app is still doing. Raises StepError at stage
        `start` or `ready` where it cannot be started, and `cancelled` where there is no room for hours.
        """
        slot = await self._granted(await self._queued(spec, connect, on_progress, owner))
        began, keep = _now(), False
        lease = slot.lease()
        overdue = self._look_again(self._history.timings.start_seconds(slot.key) or 0.0)
        try:
            yield lease
            keep = True
            self._history.answered(slot, _now() - began)
        except StepError as error:
            keep = True
            await self._went_wrong(slot, error, lease)
            raise
        except asyncio.CancelledError:
            keep = True
            raise
        finally:
            overdue.cancel()
            self._release(slot, keep=keep and not lease.discarded)

    async def complete(
        self, spec: ContainerSpec, task: Task, on_progress: OnProgress, limits: TaskLimits | None = None
    ) -> Completed:
        """Run the Space's program once in a container of its own, which is gone soon after, in any case.

        Waits fairly for room as a lease does. Raises StepError; a program that fails is no error here: see
        `Completed.exit_code`.
        """
        spec = self._starter.resources.as_started(spec)
        slot = await self._granted(await self._queued(spec, None, on_progress))
        try:
            if slot.state is SlotState.STOPPING:
                raise _stopping()
            slot.container = self._starter.new(spec)
            limits = limits or TaskLimits()
            completed = await self._starter.complete(slot.container, spec, task, limits, on_progress)
        finally:
            self._release(slot, keep=False)
        if completed.exit_code != 0 and self._starter.blames_root(spec, completed.stderr.text):
            # Only once: the second time its root can be written.
            return await self.complete(spec, task, on_progress, limits)
        return completed

    async def _queued(
        self, spec: ContainerSpec, connect: Connect[App] | None, on_progress: OnProgress, owner: str = ""
    ) -> Waiter[App]:
        await self._adoption.finish()
        room = await self._starter.resources.room_for(spec)
        if self._closed:
            raise _stopping()
        number = next(self._numbers)
        # No two programs have a key in common: none waits for another that runs the same.
        key = spec.key if connect is not None else f"program-{number}"
        self._history.quarantine.check(key, _now())
        if connect is not None:
            self._history.asked(key, spec, _now())
        peak = self._slots.peak(key) or self._history.peak(spec.digest)
        waiter = Waiter(number, key, spec, room, connect, on_progress, _now(), peak, owner)
        self._wait_queue.join(waiter)
        return waiter

    async def _granted(self, waiter: Waiter[App]) -> Slot[App]:
        """The slot that the call gets, its container seen alive."""
        overtaken = self._look_again(self._settings.patience_seconds)
        try:
            while True:
                if self._closed:
                    raise _stopping()
                self._reassign()
                if waiter.outcome is None:
                    waiter.tell_why(self._slots.states(waiter.key))
                slot = await waiter.turn()
                if waiter.connect is None or not await self._died(slot):
                    return slot
                waiter.wait_again()
        except BaseException:
            if isinstance(waiter.outcome, Slot):
                # A program's slot is still empty.
                self._release(waiter.outcome, keep=waiter.connect is not None)
            raise
        finally:
            overtaken.cancel()
            self._wait_queue.leave(waiter)
            for slot in self._slots.abandoned(self._wait_queue):
                self._lifecycle.discard(slot)

    async def _died(self, slot: Slot[App]) -> bool:
        """Whether the container has died, or is given up, since the grant; its slot is given back then."""
        if slot.container is None:
            return True
        death = await slot.container.death(Stage.READY)
        if death is None and slot.state is SlotState.RUNNING:
            return False
        if death is not None:
            log.info("container.died_idle", space=slot.space, kind=death.kind)
            self._lifecycle.discard(slot, at_once=True)
        self._release(slot, keep=False)
        return True

    def _release(self, slot: Slot[App], *, keep: bool) -> None:
        """Give the call slot back. No await: nothing can cut it off."""
        slot.calls -= 1
        self._history.used(slot, _now())
        if not keep or slot.state is SlotState.STOPPING:
            self._lifecycle.discard(slot)
        elif slot.calls == 0:
            self._lifecycle.set_idle(slot)
        self._reassign()

    async def _went_wrong(self, slot: Slot[App], error: StepError, lease: Lease[App]) -> None:
        self._history.failed(slot, error, _now())
        container, spec = slot.container, slot.spec
        if container is None or spec is None or error.kind not in _APP_FAILED:
            return
        if spec.read_only and self._starter.blames_root(spec, f"{error}\n{await container.words()}"):
            lease.discard()
            raise TryAgainError(error) from error
        raise error.copy(f"{error}{await self._starter.resources.remedy(spec, error)}") from error

    def _failed(self, slot: Slot[App], error: StepError) -> None:
        """No container could be brought up: everybody who waits for one of that Space hears why."""
        self._lifecycle.discard(slot)
        # One that sleeps, or is being woken, serves as well.
        others = bool(self._slots.states(slot.key) - {SlotState.STOPPING, SlotState.STOPPED})
        self._history.not_started(slot, error, _now(), others=others)
        if not others:
            self._wait_queue.fail(error, slot.key)

    def _reassign(self) -> None:
        """Carry out what `assign` decides for the present state; awaits nothing."""
        if self._closed:
            return
        now, resources = _now(), self._starter.resources
        self._history.assess(self._slots, now)
        waiters = self._wait_queue.in_turn(now - self._settings.patience_seconds)
        spare = resources.spare_memory if any(waiter.peak for waiter in waiters) else None
        paces = self._history.paces(self._slots, now)
        decision = assign(self._slots, waiters, resources.limit, paces, spare)
        for waiter_id, slot_id in decision.grants:
            self._grant(self._wait_queue[waiter_id], self._slots[slot_id])
        for slot_id in decision.wakes:
            self._bring_up(self._slots[slot_id], self._wait_queue.first(self._slots[slot_id].key))
        for waiter_id in decision.starts:
            self._start(self._wait_queue[waiter_id])
        evicted = [self._slots[slot_id] for slot_id in decision.evictions]
        self._history.lost(evicted)
        for slot in evicted:
            self._lifecycle.give_up(slot)
        for slot in self._slots.stopped_beyond(self._settings.max_containers):
            self._lifecycle.discard(slot)

    def _start(self, waiter: Waiter[App]) -> None:
        slot = waiter.slot(next(self._numbers))
        self._history.used(slot, _now())
        self._slots.add(slot)
        if waiter.connect is None:
            self._grant(waiter, slot)
        else:
            self._bring_up(slot, waiter)

    def _bring_up(self, slot: Slot[App], waiter: Waiter[App]) -> None:
        self._lifecycle.bring_up(slot, waiter, partial(self._wait_queue.tell, slot.key))

    def _grant(self, waiter: Waiter[App], slot: Slot[App]) -> None:
        self._lifecycle.use(slot)
        slot.calls += 1
        self._history.used(slot, _now())
        self._wait_queue.served(waiter)
        waiter.decide(slot)

    def _look_again(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._reassign)

    async def _finish(self) -> None:
        await self._adoption.stop()
        kept: list[str] = []
        for slot in self._slots:
            left = await self._lifecycle.hand_over(slot) if self._settings.keep_warm else None
            if left is None:
                self._lifecycle.discard(slot, at_once=True)
            else:
                kept.append(left)
        await self._monitor.stop()
        await self._lifecycle.close(START_SECONDS + REMOVE_SECONDS)
        await self._starter.close(kept)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _stopping() -> StepError:
    return StepError(Stage.START, ErrorKind.CANCELLED, "the worker is stopping. The job can run again later.")
