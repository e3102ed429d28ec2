"""What is done to a place's container behind the calls' backs: bringing up, cooling, removing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.assign import SlotState
from spacedock_worker.containers.engine import RefusedError
from spacedock_worker.containers.place import OnProgress, Place, Waiting
from spacedock_worker.containers.profiles import Profiles
from spacedock_worker.containers.ready import App
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.starter import Starter, Survivor
from spacedock_worker.containers.warm_notes import Note, WarmNotes
from spacedock_worker.containers.warmth import Step, Warmth, cooling, leaving
from spacedock_worker.errors import StepError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hooks(Generic[App]):
    """What the pool wants to hear: a place has changed, could not be brought up, or is empty."""

    changed: Callable[[], None]
    failed: Callable[[Place[App], StepError], None]
    emptied: Callable[[Place[App]], None]


class Lifecycle(Generic[App]):
    """Works on one container at a time in the order in which it was told; nothing here is cut off half-way.

    What is no coroutine returns at once: the state says what is meant to be, the work follows.
    """

    def __init__(
        self, settings: ContainerSettings, starter: Starter, profiles: Profiles, hooks: Hooks[App]
    ) -> None:
        self._settings, self._starter, self._profiles, self._hooks = settings, starter, profiles, hooks
        self.notes = WarmNotes(settings.state / "warm" if settings.state else None)
        # Not a TaskGroup: a cancellation must not cut removals off.
        self._works: set[asyncio.Task[None]] = set()

    def bring_up(self, place: Place[App], waiting: Waiting[App], tell: OnProgress) -> None:
        """Have the place's container run and its app answer: woken, started again, or made."""
        starts = place.container is None or place.state is SlotState.STOPPED
        place.waking = place.state is SlotState.ASLEEP
        place.state, place.capacity = SlotState.STARTING, waiting.spec.calls
        place.keep_warm()
        self._do(place, self._bring_up(place, waiting, tell, starts=starts))

    def rest(self, place: Place[App]) -> None:
        """Nobody uses the running container: it cools from now on, and the next worker may adopt it."""
        assert place.container is not None
        assert place.spec is not None
        start = self._profiles.start_seconds(place.key) or 0.0
        self._cool(place, cooling(place.spec, self._settings, gpu=self._has_gpu(place)))
        if place.spec.private:
            # What it holds is for no worker but this one.
            return
        note = Note(place.space, place.key, self._starter.config, place.room.memory, place.room.gpus, start)
        self.notes.write(place.container.name, note)

    def use(self, place: Place[App]) -> None:
        """A call uses the container: it does not cool, and is nothing to adopt."""
        place.keep_warm()
        if place.container is not None:
            self.notes.drop(place.container.name)

    def adopt(self, number: int, survivor: Survivor) -> Place[App]:
        """The place of an earlier worker's container: unless it is used, it is gone after the usual time."""
        note, state = survivor.note, SlotState.STOPPED if survivor.stopped else SlotState.ASLEEP
        place: Place[App] = Place(number, note.key, note.space, note.room, state)
        place.container, place.since = survivor.container, asyncio.get_running_loop().time()
        self._profiles.started(note.key, note.start_seconds)
        self._cool(place, (Step(self._settings.idle_seconds, Warmth.GONE),))
        log.info("container.adopted", space=note.space, container=survivor.container.name)
        return place

    def give_up(self, place: Place[App]) -> None:
        """Have an idle container leave its room; stopped where that keeps something, else removed."""
        if place.spec is None or leaving(place.spec, self._settings) is Warmth.GONE:
            self.discard(place)
        elif place.state is not SlotState.STOPPING:
            place.state = SlotState.STOPPING
            place.keep_warm()
            self._do(place, self._stop(place))

    def discard(self, place: Place[App], *, at_once: bool = False) -> None:
        """Remove the container once no call uses it, or `at_once`; the place counts until it is gone."""
        starting = place.state is SlotState.STARTING
        place.state = SlotState.STOPPING
        self.use(place)
        if place.emptying or (place.calls > 0 and not at_once):
            return
        place.emptying = True
        if starting and place.work is not None:
            place.work.cancel()
        self._do(place, self._empty(place))

    def check(self, place: Place[App]) -> None:
        """Something may have happened to an idle container: see whether it still lives."""
        if place.state is SlotState.STOPPED or place.slot(self._profiles, 0.0).idle:
            self._do(place, self._check(place))

    async def leave(self, place: Place[App]) -> str | None:
        """Leave an idle container to the next worker, paused but for one with a GPU.

        Returns its name, None where it cannot be left.
        """
        container, app = place.container, place.app
        private = place.spec is not None and place.spec.private
        if container is None or private or not place.slot(self._profiles, 0.0).idle:
            return None
        place.keep_warm()
        if place.work is not None:
            await asyncio.wait({place.work})
        if app is not None:
            await app.aclose()
        try:
            if await container.state() == "running" and not self._has_gpu(place):
                await container.pause()
        except (RefusedError, StepError):
            return None
        return container.name

    async def settled(self) -> None:
        """Return once nothing is being done; bounded as starts and removals are."""
        while self._works:
            await asyncio.wait(tuple(self._works))

    async def close(self, seconds: float) -> None:
        """Wait so long for what is being done."""
        if self._works:
            await asyncio.wait(tuple(self._works), timeout=seconds)

    def _do(self, place: Place[App], work: Coroutine[Any, Any, None]) -> None:
        before = place.work

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait({before})
            await work

        place.work = asyncio.create_task(in_turn())
        self._works.add(place.work)
        place.work.add_done_callback(self._works.discard)
        # A start that is cancelled before its turn has never awaited its work.
        place.work.add_done_callback(lambda _: work.close())

    async def _bring_up(
        self, place: Place[App], waiting: Waiting[App], tell: OnProgress, *, starts: bool
    ) -> None:
        try:
            await self._up(place, waiting, tell, starts=starts)
        except StepError as error:
            self._hooks.failed(place, error)
        except Exception as error:
            log.exception("container.start_broke", space=place.space)
            message = f"the container of {place.space} could not be started ({type(error).__name__})."
            self._hooks.failed(place, StepError(Stage.START, ErrorKind.INTERNAL, message))
        else:
            if place.state is SlotState.STARTING:
                place.state, place.since = SlotState.RUNNING, asyncio.get_running_loop().time()
                self._hooks.changed()
                if place.state is SlotState.RUNNING and place.calls == 0:
                    self.rest(place)

    async def _up(self, place: Place[App], waiting: Waiting[App], tell: OnProgress, *, starts: bool) -> None:
        assert waiting.connect is not None
        now = asyncio.get_running_loop().time
        began = now()
        if place.container is None or not await self._revived(place, waiting):
            starts = True
            try:
                await self._start(place, waiting, tell)
            except StepError as error:
                if place.spec is None or not self._starter.blames_root(place.spec, str(error)):
                    raise
                tell("starting it again with a root that it can write")
                await self._remove(place)
                await self._start(place, waiting, tell)
        if starts:
            place.fresh = now() - began
            self._profiles.started(place.key, place.fresh)

    async def _start(self, place: Place[App], waiting: Waiting[App], tell: OnProgress) -> None:
        assert waiting.connect is not None
        place.spec = self._starter.ground.as_started(waiting.spec)
        place.container = self._starter.new(place.spec)
        place.app = await self._starter.run(place.container, place.spec, waiting.connect, tell)

    async def _revived(self, place: Place[App], waiting: Waiting[App]) -> bool:
        assert place.container is not None
        assert waiting.connect is not None
        self.notes.drop(place.container.name)
        # One of ours keeps the root that it was made with, whatever was learned meanwhile.
        place.spec = place.spec or self._starter.ground.as_started(waiting.spec)
        try:
            place.app = await self._starter.revive(place.container, waiting.spec, waiting.connect, place.app)
        except StepError as error:
            log.info("container.not_revived", space=place.space, reason=error.kind)
            await self._remove(place)
            return False
        return True

    def _cool(self, place: Place[App], steps: Sequence[Step]) -> None:
        if not steps:
            return
        loop = asyncio.get_running_loop()
        place.cooler = loop.call_at(place.since + steps[0].after, self._colder, place, steps)

    def _colder(self, place: Place[App], steps: Sequence[Step]) -> None:
        if steps[0].warmth is Warmth.PAUSED:
            place.state = SlotState.ASLEEP
            self._do(place, self._pause(place))
        elif steps[0].warmth is Warmth.STOPPED:
            self.give_up(place)
        else:
            self.discard(place)
        self._cool(place, steps[1:])

    async def _pause(self, place: Place[App]) -> None:
        assert place.container is not None
        try:
            await place.container.pause()
        except (RefusedError, StepError) as error:
            log.info("container.not_paused", space=place.space, reason=str(error))
            if place.state is SlotState.ASLEEP:
                self.discard(place)

    async def _check(self, place: Place[App]) -> None:
        if place.container is None or place.state is SlotState.STOPPING:
            return
        try:
            state = await place.container.state()
        except StepError:
            # The engine is away: it tells what it has left when it is back.
            return
        lives = state == "exited" if place.state is SlotState.STOPPED else state in ("running", "paused")
        if not lives and place.calls == 0 and place.state is not SlotState.STARTING:
            log.info("container.died_idle", space=place.space, container=place.container.name)
            self.discard(place)

    async def _stop(self, place: Place[App]) -> None:
        assert place.container is not None
        try:
            await self._hang_up(place)
            await self._starter.stop(place.container)
        except (RefusedError, StepError) as error:
            log.info("container.not_stopped", space=place.space, reason=str(error))
            self.discard(place)
            return
        if not place.emptying:
            place.state, place.since = SlotState.STOPPED, asyncio.get_running_loop().time()
            self._cool(place, (Step(self._settings.stopped_seconds, Warmth.GONE),))
            self._hooks.changed()

    async def _empty(self, place: Place[App]) -> None:
        await self._remove(place)
        self._hooks.emptied(place)

    async def _remove(self, place: Place[App]) -> None:
        await self._hang_up(place)
        if place.container is not None:
            await self._starter.remove(place.container)
            # Not before: a start that is cut off in here leaves the rest to `_empty`.
            place.container = None

    def _has_gpu(self, place: Place[App]) -> bool:
        return place.room.gpus > 0 or self._starter.ground.has_gpu(place.spec)

    async def _hang_up(self, place: Place[App]) -> None:
        app, place.app = place.app, None
        if app is not None:
            await app.aclose()
