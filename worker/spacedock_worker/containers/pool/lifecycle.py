"""What is done to a slot's container behind the calls' backs: bringing up, idling, removing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Generic

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.pool.adoption import IdleNote, IdleNotes, config_of, survivors
from spacedock_worker.containers.pool.history import History, rest_seconds
from spacedock_worker.containers.pool.idle_policy import IdleState, IdleStep, idle_steps, when_given_up
from spacedock_worker.containers.pool.readiness import App
from spacedock_worker.containers.pool.slots import OnProgress, Slot, Slots, SlotState, Waiter
from spacedock_worker.containers.pool.starter import Starter
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_EXPECTED_SECONDS = 10.0
"""How often a container that a running chain expects is looked at again, instead of being given up."""

_TICK_SECONDS = 0.1
"""So long after it has rested the pool looks at a container: timers may be early."""


class Lifecycle(Generic[App]):
    """Works on each container in the order in which it was told; nothing here is cut off half-way.

    What is no coroutine returns at once: the slot's state says what is meant to be, the work follows.
    `changed` hears that a slot has changed, `failed` that one could not be brought up.
    """

    def __init__(
        self,
        settings: ContainerSettings,
        starter: Starter[App],
        history: History,
        slots: Slots[App],
        changed: Callable[[], None],
        failed: Callable[[Slot[App], StepError], None],
    ) -> None:
        self._settings, self._starter, self._history, self._slots = settings, starter, history, slots
        self._changed, self._failed = changed, failed
        self.notes = IdleNotes(settings.state / "warm" if settings.state else None)
        self._config = config_of(settings)
        # Not a TaskGroup: a cancellation must not cut removals off.
        self._tasks: set[asyncio.Task[None]] = set()

    def bring_up(self, slot: Slot[App], waiter: Waiter[App], tell: OnProgress) -> None:
        """Have the slot's container run and its app answer: woken, started again, or made."""
        slot.waking = slot.state is SlotState.ASLEEP
        slot.state, slot.capacity = SlotState.STARTING, waiter.spec.calls
        self.use(slot)
        self._queue(slot, self._bring_up(slot, waiter, tell))

    def set_idle(self, slot: Slot[App]) -> None:
        """Nobody uses the running container: its idle time begins, and the next worker may adopt it."""
        assert slot.container is not None
        assert slot.spec is not None
        start = self._history.timings.start_seconds(slot.key) or 0.0
        rested = rest_seconds(start) + _TICK_SECONDS
        self._set_timer(slot, idle_steps(slot.spec, self._settings, gpu=self._has_gpu(slot), rested=rested))
        if slot.spec.private:
            # What it holds is for no worker but this one.
            return
        room = slot.room
        note = IdleNote(slot.space, slot.key, self._config, room.memory, room.gpus, start, slot.family)
        self.notes.write(slot.container.name, note)

    def use(self, slot: Slot[App]) -> None:
        """A call uses the container: it is not idle, and nothing to adopt."""
        slot.cancel_idle_timer()
        if slot.container is not None:
            self.notes.drop(slot.container.name)

    async def adopt(self, engine: Engine, numbers: Iterator[int]) -> None:
        """Make slots for the containers that an earlier worker left idle, and remove what else it left.

        Raises StepError `docker_unavailable` where the engine does not tell: then nothing has gone.
        """
        left = await survivors(engine, self._settings, self.notes)
        containers = [await self._starter.adopt(survivor) for survivor in left]
        await self._starter.clean()
        # Nothing is awaited from here on: whoever is cut off before has the next call begin again.
        for survivor, container in zip(left, containers, strict=True):
            note, state = survivor.note, SlotState.STOPPED if survivor.stopped else SlotState.ASLEEP
            slot: Slot[App] = Slot(next(numbers), note.key, note.space, note.room, state)
            slot.container, slot.since = container, asyncio.get_running_loop().time()
            slot.family = note.family or note.space
            self._history.timings.started(note.key, note.start_seconds)
            # Unless it is used, it goes after the usual time.
            self._set_timer(slot, (IdleStep(self._settings.idle_seconds, IdleState.GONE),))
            self._slots.add(slot)
            log.info("container.adopted", space=note.space, container=container.name)

    def give_up(self, slot: Slot[App]) -> None:
        """Have an idle container leave its room; stopped where that keeps what is wanted, else removed."""
        outdated = self._history.timings.is_outdated(slot.key, slot.family)
        if outdated or slot.spec is None or when_given_up(slot.spec, self._settings) is IdleState.GONE:
            self.discard(slot)
        elif slot.state is not SlotState.STOPPING:
            slot.state = SlotState.STOPPING
            slot.cancel_idle_timer()
            self._queue(slot, self._stop(slot))

    def discard(self, slot: Slot[App], *, at_once: bool = False) -> None:
        """Remove the container once no call uses it, or `at_once`; the slot counts until it is gone."""
        starting = slot.state is SlotState.STARTING
        slot.state = SlotState.STOPPING
        self.use(slot)
        if slot.removing or (slot.calls > 0 and not at_once):
            return
        slot.removing = True
        if starting and slot.work is not None:
            slot.work.cancel()
        self._queue(slot, self._empty(slot))

    def check(self, slot: Slot[App]) -> None:
        """Something may have happened to an idle container: see whether it still lives."""
        if slot.state is SlotState.STOPPED or slot.idle:
            self._queue(slot, self._check(slot))

    async def hand_over(self, slot: Slot[App]) -> str | None:
        """Leave an idle container to the next worker, paused but for one with a GPU.

        Returns its name, None where it cannot be left.
        """
        container, app = slot.container, slot.app
        private = slot.spec is not None and slot.spec.private
        if container is None or private or not slot.idle:
            return None
        slot.cancel_idle_timer()
        if slot.work is not None:
            await asyncio.wait({slot.work})
        if app is not None:
            await app.aclose()
        try:
            if await container.state() == "running" and not self._has_gpu(slot):
                await container.pause()
        except (EngineRefusedError, StepError):
            return None
        return container.name

    async def settled(self) -> None:
        """Return once nothing is being done; bounded as starts and removals are."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self, seconds: float) -> None:
        """Wait so long for what is being done."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    def _queue(self, slot: Slot[App], work: Coroutine[Any, Any, None]) -> None:
        before = slot.work

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait({before})
            await work

        slot.work = asyncio.create_task(in_turn())
        self._tasks.add(slot.work)
        slot.work.add_done_callback(self._tasks.discard)
        # A start that is cancelled before its turn has never awaited its work.
        slot.work.add_done_callback(lambda _: work.close())

    async def _bring_up(self, slot: Slot[App], waiter: Waiter[App], tell: OnProgress) -> None:
        try:
            slot.start_seconds = await self._starter.bring_up(slot, waiter, tell)
        except StepError as error:
            self._failed(slot, error)
        except Exception as error:
            log.exception("container.start_broke", space=slot.space)
            message = f"the container of {slot.space} could not be started ({type(error).__name__})."
            self._failed(slot, StepError(Stage.START, ErrorKind.INTERNAL, message))
        else:
            if slot.start_seconds > 0:
                self._history.timings.started(slot.key, slot.start_seconds)
            if slot.state is SlotState.STARTING:
                slot.state, slot.since = SlotState.RUNNING, asyncio.get_running_loop().time()
                self._changed()
                if slot.state is SlotState.RUNNING and slot.calls == 0:
                    self.set_idle(slot)

    def _set_timer(self, slot: Slot[App], steps: Sequence[IdleStep]) -> None:
        if not steps:
            return
        loop = asyncio.get_running_loop()
        slot.idle_timer = loop.call_at(slot.since + steps[0].after, self._idle_step, slot, steps)

    def _idle_step(self, slot: Slot[App], steps: Sequence[IdleStep]) -> None:
        state = steps[0].state
        if state in (IdleState.STOPPED, IdleState.GONE) and slot.family in self._history.expected:
            loop = asyncio.get_running_loop()
            slot.idle_timer = loop.call_later(_EXPECTED_SECONDS, self._idle_step, slot, steps)
            return
        self._set_timer(slot, steps[1:])
        if state is IdleState.RESTED:
            # A batch whose calls are long would see it only at its next call.
            self._changed()
        elif state is IdleState.PAUSED:
            slot.state = SlotState.ASLEEP
            self._queue(slot, self._pause(slot))
        elif state is IdleState.STOPPED:
            self.give_up(slot)
        else:
            self.discard(slot)

    async def _pause(self, slot: Slot[App]) -> None:
        assert slot.container is not None
        try:
            await slot.container.pause()
        except (EngineRefusedError, StepError) as error:
            log.info("container.not_paused", space=slot.space, reason=str(error))
            if slot.state is SlotState.ASLEEP:
                self.discard(slot)

    async def _check(self, slot: Slot[App]) -> None:
        if slot.container is None or slot.state is SlotState.STOPPING:
            return
        try:
            state = await slot.container.state()
        except StepError:
            # The engine is away: it tells what it has left when it is back.
            return
        lives = state == "exited" if slot.state is SlotState.STOPPED else state in ("running", "paused")
        if not lives and slot.calls == 0 and slot.state is not SlotState.STARTING:
            log.info("container.died_idle", space=slot.space, container=slot.container.name)
            self.discard(slot)

    async def _stop(self, slot: Slot[App]) -> None:
        assert slot.container is not None
        try:
            await self._starter.stop(slot)
        except (EngineRefusedError, StepError) as error:
            log.info("container.not_stopped", space=slot.space, reason=str(error))
            self.discard(slot)
            return
        if not slot.removing:
            slot.state, slot.since = SlotState.STOPPED, asyncio.get_running_loop().time()
            self._set_timer(slot, (IdleStep(self._settings.stopped_seconds, IdleState.GONE),))
            self._changed()

    async def _empty(self, slot: Slot[App]) -> None:
        await self._starter.empty(slot)
        self._slots.drop(slot)
        self._changed()

    def _has_gpu(self, slot: Slot[App]) -> bool:
        return slot.room.gpus > 0 or self._starter.resources.has_gpu(slot.spec)
