"""One container slot of the pool, and one call that waits for one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.machine.room import Room
from spacedock_worker.containers.pool.lease import Lease
from spacedock_worker.containers.pool.readiness import App, Connect
from spacedock_worker.containers.pool.scheduler import Pace, SlotState, SlotView, WaiterView, loss
from spacedock_worker.containers.pool.timings import TimingStore
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError

OnProgress = Callable[[str], None]

WAITING_FOR_CALLS = "waiting for the calls before it"
WAITING_FOR_ROOM = "waiting for room for its container"

ROOM_SECONDS = 4 * 3600.0
"""How long a call may wait for a container; longer than any start takes (`LONGEST_START`)."""


@dataclass(slots=True, eq=False)
class Slot(Generic[App]):
    """A container slot. `container` is there once it was begun, `app` once that has answered.

    `fresh` are the seconds that its start took, until a call has heard of it; `since` is the time of the last
    grant or release, `floor` what losing a container had cost by then (`loss`). `waking` says that it was
    asleep when it was last brought up, `answered` that a call went well, `emptying` that its removal has
    begun. `work` is what is being done to the container, `cooler` what will be. `digest` is its image's,
    `family` its Space's (`ContainerSpec.family`), `peak` the most bytes that its like were seen to use (0:
    unknown).
    """

    id: int
    key: str
    space: str
    room: Room
    state: SlotState
    capacity: int = 1
    calls: int = 0
    digest: str = ""
    family: str = ""
    peak: int = 0
    spec: ContainerSpec | None = None
    container: RunningContainer | None = None
    app: App | None = None
    fresh: float = 0.0
    since: float = 0.0
    floor: float = 0.0
    waking: bool = False
    answered: bool = False
    emptying: bool = False
    work: asyncio.Task[None] | None = None
    cooler: asyncio.TimerHandle | None = None

    def view(self, profiles: TimingStore, now: float, expected: Collection[str] = ()) -> SlotView:
        """The place as the decision sees it; `expected` are the families that running chains may ask."""
        return SlotView(
            self.id,
            self.key,
            self.state,
            self.room,
            self.calls,
            self.capacity,
            loss(profiles.start_seconds(self.key) or 0.0, now - self.since, self.floor),
            self.waking,
            self.peak,
            profiles.is_outdated(self.key, self.family),
            self.family in expected,
        )

    @property
    def idle(self) -> bool:
        """Whether it could be given up at once."""
        return self.state is SlotState.ASLEEP or (self.state is SlotState.RUNNING and self.calls == 0)

    def lease(self) -> Lease[App]:
        """What a call is given of it; the first one hears what the start took."""
        assert self.container is not None
        assert self.app is not None
        lease, self.fresh = Lease(self.container, self.app, self.fresh), 0.0
        return lease

    @property
    def word(self) -> str:
        """Its state in one word, for people."""
        if self.state is SlotState.RUNNING:
            return "busy" if self.calls else "idle"
        return self.state.value

    def keep_warm(self) -> None:
        """No more cooling: it is in use, or going."""
        if self.cooler is not None:
            self.cooler.cancel()
            self.cooler = None


@dataclass(slots=True, eq=False)
class Waiter(Generic[App]):
    """A call in the queue; `granted` becomes the place that it gets.

    `connect` is None for a program that runs once: it needs a place, not an app. `peak` as in `Slot`.
    """

    id: int
    key: str
    spec: ContainerSpec
    room: Room
    connect: Connect[App] | None
    tell: OnProgress
    since: float
    peak: int = 0
    granted: asyncio.Future[Slot[App]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def turn(self) -> Slot[App]:
        """The place, once it is granted. Raises StepError (`cancelled`) where none is within ROOM_SECONDS."""
        try:
            async with asyncio.timeout_at(self.since + ROOM_SECONDS):
                return await self.granted
        except TimeoutError as error:
            message = f"this host had no room for the container within {ROOM_SECONDS:g} s"
            raise StepError(Stage.START, ErrorKind.CANCELLED, message) from error

    def slot(self, number: int) -> Slot[App]:
        """The place that is made for it, still without a container."""
        spec, state = self.spec, SlotState.RUNNING
        slot: Slot[App] = Slot(number, self.key, spec.space, self.room, state, spec.calls)
        slot.digest, slot.family, slot.peak = spec.digest, spec.family or spec.space, self.peak
        return slot

    def view(self, patience: float, now: float) -> WaiterView:
        """The call as the decision sees it."""
        return WaiterView(self.id, self.key, self.room, now - self.since >= patience, self.peak)

    def tell_why(self, states: Collection[SlotState]) -> None:
        """Say what the call waits for, where its Space's containers do that; a start tells of itself."""
        if SlotState.RUNNING in states:
            self.tell(WAITING_FOR_CALLS)
        elif SlotState.STARTING not in states:
            self.tell(WAITING_FOR_ROOM)


_WORDS = ("starting", "busy", "idle", "asleep", "stopping", "stopped")


class Slots(Generic[App]):
    """The places by their number; `floor` is the most that losing a container has cost (`loss`)."""

    def __init__(self) -> None:
        self._all: dict[int, Slot[App]] = {}
        self.floor = 0.0

    def __iter__(self) -> Iterator[Slot[App]]:
        """A snapshot: places may come and go meanwhile."""
        return iter(tuple(self._all.values()))

    def __getitem__(self, number: int) -> Slot[App]:
        return self._all[number]

    def add(self, slot: Slot[App]) -> None:
        """A place more."""
        slot.floor = self.floor
        self._all[slot.id] = slot

    def drop(self, slot: Slot[App]) -> None:
        """The place is no more; twice is safe."""
        self._all.pop(slot.id, None)

    def states(self, key: str) -> set[SlotState]:
        """What the containers of that key are doing."""
        return {slot.state for slot in self if slot.key == key}

    def peak(self, key: str) -> int:
        """The most bytes that containers of that key were seen to use; 0 where that is not known."""
        return max((slot.peak for slot in self._all.values() if slot.key == key), default=0)

    def views(self, profiles: TimingStore, now: float, expected: Collection[str]) -> list[SlotView]:
        """The places as the decision sees them."""
        return [slot.view(profiles, now, expected) for slot in self]

    def lost(self, views: Iterable[SlotView]) -> None:
        """Containers are given up. To lose an outdated one costs nothing."""
        self.floor = max([self.floor, *(view.cost for view in views if not view.outdated)])

    def used(self, slot: Slot[App], now: float) -> None:
        """A call begins to use the container, or ends."""
        slot.since, slot.floor = now, self.floor

    def paces(self, profiles: TimingStore, now: float) -> dict[str, Pace]:
        """What was measured of the Spaces in use; a call that takes longer than those before it counts."""
        longest: dict[str, float] = {}
        for slot in self:
            if slot.calls > 0:
                longest[slot.key] = max(longest.get(slot.key, 0.0), now - slot.since)
        found = {key: profiles.pace(key, under_way) for key, under_way in longest.items()}
        return {key: pace for key, pace in found.items() if pace is not None}

    def stopped_beyond(self, count: int, profiles: TimingStore) -> list[Slot[App]]:
        """The stopped containers that are too many, if `count` may stay: outdated ones, then the oldest."""
        stopped = [slot for slot in self if slot.state is SlotState.STOPPED]
        stopped.sort(key=lambda slot: (not profiles.is_outdated(slot.key, slot.family), slot.since))
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
    """Who waits; a call that was granted a place waits no longer, even while it is still in the line."""

    def __init__(self) -> None:
        self._calls: dict[int, Waiter[App]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Waiter[App]]:
        """Those that wait, the longest waiting first."""
        return iter([call for _, call in sorted(self._calls.items()) if not call.granted.done()])

    def __getitem__(self, number: int) -> Waiter[App]:
        return self._calls[number]

    def join(self, waiter: Waiter[App]) -> None:
        """Wait from now on."""
        self._calls[waiter.id] = waiter

    def leave(self, waiter: Waiter[App]) -> None:
        """Go: with a place, with an error, or because the call was cancelled."""
        del self._calls[waiter.id]

    def first(self, key: str) -> Waiter[App]:
        """Who has waited longest for a container of that key; there must be one."""
        return next(call for call in self if call.key == key)

    def wants(self, slot: Slot[App]) -> bool:
        """Whether anybody in the line wants a container of the place's Space."""
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
                call.granted.set_exception(error.copy())
