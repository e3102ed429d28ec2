"""The pool's slots, each for one container, and the calls that wait for one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool.lease import Lease
from spacedock_worker.containers.pool.readiness import App, Connect
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.turns import Turns

OnProgress = Callable[[str], None]

WAITING_FOR_CALLS = "waiting for the calls before it"
WAITING_FOR_ROOM = "waiting for room for its container"

ROOM_SECONDS = 4 * 3600.0
"""How long a call may wait for a container; longer than any start takes (`LONGEST_START`)."""


class SlotState(StrEnum):
    """What a slot's container is doing; a stopped container takes no room, every other does.

    An asleep one is paused, or was found at our start: it can take calls some milliseconds after it is woken.
    """

    STARTING = "starting"
    RUNNING = "running"
    ASLEEP = "asleep"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Slot(Generic[App]):
    """A container slot: `calls` of its `capacity` are under way.

    `container` is there once its start has begun, `app` once that has answered. `waking` says of a starting
    one that it was asleep. `digest` is its image's, `family` its Space's (`ContainerSpec.family`), `peak` the
    most bytes of memory that its like were seen to use (0: unknown).

    `History.assess` writes down what a decision needs: `cost` is what losing the container would cost,
    `outdated` that a newer build of its Space is in use, `expected` that a running chain may ask it next,
    `rested` that it is unused for so long that another Space may need its room more.

    `since` is the time of the last grant or release, `floor` what losing a container had cost by then.
    `start_seconds` are those of its start, until a call has heard of it. `answered` says that a call went
    well, `removing` that its removal has begun. `work` is what is being done to the container, `idle_timer`
    what will be done to it if no call comes.
    """

    id: int
    key: str
    space: str
    room: Room
    state: SlotState
    capacity: int = 1
    calls: int = 0
    waking: bool = False
    digest: str = ""
    family: str = ""
    peak: int = 0
    cost: float = 0.0
    outdated: bool = False
    expected: bool = False
    rested: bool = False
    spec: ContainerSpec | None = None
    container: RunningContainer | None = None
    app: App | None = None
    since: float = 0.0
    floor: float = 0.0
    start_seconds: float = 0.0
    answered: bool = False
    removing: bool = False
    work: asyncio.Task[None] | None = None
    idle_timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether it could be given up at once."""
        return self.state is SlotState.ASLEEP or (self.state is SlotState.RUNNING and self.calls == 0)

    @property
    def word(self) -> str:
        """Its state in one word, for people."""
        if self.state is SlotState.RUNNING:
            return "busy" if self.calls else "idle"
        return self.state.value

    def lease(self) -> Lease[App]:
        """What a call is given of it; the first one hears what the start took."""
        assert self.container is not None
        assert self.app is not None
        lease, self.start_seconds = Lease(self.container, self.app, self.start_seconds), 0.0
        return lease

    def cancel_idle_timer(self) -> None:
        """The container is in use, or going."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None


@dataclass(slots=True, eq=False)
class Waiter(Generic[App]):
    """A call that waits for a container of `key`; `outcome` becomes the slot that it gets, or its error.

    An `urgent` one, or one before it for the same key, was overtaken for long enough. `connect` is None for a
    program that runs once: it needs a slot, not an app. `peak` as in `Slot`. `owner` is whose call it is.
    """

    id: int
    key: str
    spec: ContainerSpec
    room: Room
    connect: Connect[App] | None
    tell: OnProgress
    since: float
    peak: int = 0
    owner: str = ""
    urgent: bool = False
    outcome: Slot[App] | StepError | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def decide(self, outcome: Slot[App] | StepError) -> None:
        """Let the call go on."""
        self.outcome = outcome
        self.decided.set()

    def wait_again(self) -> None:
        """The slot is of no use: wait for another one."""
        self.outcome = None
        self.decided.clear()

    async def turn(self) -> Slot[App]:
        """The slot, once it is granted. Raises StepError (`cancelled`) where none is within ROOM_SECONDS."""
        try:
            async with asyncio.timeout_at(self.since + ROOM_SECONDS):
                await self.decided.wait()
        except TimeoutError as error:
            message = f"this host had no room for the container within {ROOM_SECONDS:g} s"
            raise StepError(Stage.START, ErrorKind.CANCELLED, message) from error
        if isinstance(self.outcome, StepError):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    def slot(self, number: int) -> Slot[App]:
        """The slot that is made for it, still without a container."""
        spec = self.spec
        slot: Slot[App] = Slot(number, self.key, spec.space, self.room, SlotState.RUNNING, spec.calls)
        slot.digest, slot.family, slot.peak = spec.digest, spec.family or spec.space, self.peak
        return slot

    def tell_why(self, states: Collection[SlotState]) -> None:
        """Say what the call waits for, where its Space's containers do that; a start tells of itself."""
        if SlotState.RUNNING in states:
            self.tell(WAITING_FOR_CALLS)
        elif SlotState.STARTING not in states:
            self.tell(WAITING_FOR_ROOM)


_WORDS = ("starting", "busy", "idle", "asleep", "stopping", "stopped")


class Slots(Generic[App]):
    """The slots by their number."""

    def __init__(self) -> None:
        self._all: dict[int, Slot[App]] = {}

    def __iter__(self) -> Iterator[Slot[App]]:
        """A snapshot: slots may come and go meanwhile."""
        return iter(tuple(self._all.values()))

    def __getitem__(self, number: int) -> Slot[App]:
        return self._all[number]

    def add(self, slot: Slot[App]) -> None:
        """Add a slot."""
        self._all[slot.id] = slot

    def drop(self, slot: Slot[App]) -> None:
        """Remove the slot; twice is safe."""
        self._all.pop(slot.id, None)

    def states(self, key: str) -> set[SlotState]:
        """What the containers of that key are doing."""
        return {slot.state for slot in self if slot.key == key}

    def peak(self, key: str) -> int:
        """The most bytes that containers of that key were seen to use; 0 where that is not known."""
        return max((slot.peak for slot in self._all.values() if slot.key == key), default=0)

    def stopped_beyond(self, count: int) -> list[Slot[App]]:
        """The stopped containers that are too many, if `count` may stay: outdated ones, then the oldest."""
        stopped = [slot for slot in self if slot.state is SlotState.STOPPED]
        stopped.sort(key=lambda slot: (not slot.outdated, slot.since))
        return stopped[: max(0, len(stopped) - count)]

    def abandoned(self, queue: WaitQueue[App]) -> list[Slot[App]]:
        """The containers that are being started for nobody: no call in the queue wants them any more."""
        starting = [slot for slot in self if slot.state is SlotState.STARTING and slot.app is None]
        return [
            slot
            for slot in starting
            if not queue.wants(slot) and SlotState.RUNNING not in self.states(slot.key)
        ]

    def counts(self) -> dict[str, int]:
        """How many containers are in which state, in words, but for those that none is in."""
        counts = Counter(slot.word for slot in self)
        return {word: counts[word] for word in _WORDS if counts[word]}

    @property
    def taken(self) -> int:
        """How many take room."""
        return sum(slot.state is not SlotState.STOPPED for slot in self)


class WaitQueue(Generic[App]):
    """The calls that wait; one whose outcome is decided waits no longer, even before it has left."""

    def __init__(self) -> None:
        self._calls: dict[int, Waiter[App]] = {}
        self._turns: dict[str, Turns] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Waiter[App]]:
        """Those that wait, the longest waiting first."""
        return iter([call for _, call in sorted(self._calls.items()) if call.outcome is None])

    def __getitem__(self, number: int) -> Waiter[App]:
        return self._calls[number]

    def join(self, waiter: Waiter[App]) -> None:
        """Wait from now on."""
        self._calls[waiter.id] = waiter
        self._turns.setdefault(waiter.key, Turns())

    def leave(self, waiter: Waiter[App]) -> None:
        """Go: with a slot, with an error, or because the call was cancelled."""
        del self._calls[waiter.id]
        if all(call.key != waiter.key for call in self._calls.values()):
            del self._turns[waiter.key]

    def served(self, waiter: Waiter[App]) -> None:
        """Note that the waiter gets what it waited for."""
        self._turns[waiter.key].served(waiter.owner)

    def in_turn(self, before: float) -> list[Waiter[App]]:
        """Those that wait: keys by who has waited longest, and within a key each owner in turn.

        Where one has waited since `before`, all of its key are urgent.
        """
        keys: dict[str, list[Waiter[App]]] = {}
        for call in self:
            keys.setdefault(call.key, []).append(call)
        turns = {}
        for key, calls in keys.items():
            for call in calls:
                call.urgent = calls[0].since <= before
            turns[key] = iter(self._turns[key].in_order(calls, lambda call: call.owner))
        return [next(turns[call.key]) for call in self]

    def first(self, key: str) -> Waiter[App]:
        """Who has waited longest for a container of that key; there must be one."""
        return next(call for call in self if call.key == key)

    def wants(self, slot: Slot[App]) -> bool:
        """Whether any call in the queue wants a container of the slot's Space."""
        return any(call.key == slot.key for call in self._calls.values())

    def tell(self, key: str, text: str) -> None:
        """What is being done for those who wait for a container of that key."""
        for call in self:
            if call.key == key:
                call.tell(text)

    def fail(self, error: StepError, key: str | None = None) -> None:
        """Those who wait for a container of that key, or (None) all, get none: this is why."""
        for call in self:
            if key in (None, call.key):
                call.decide(error.copy())
