"""One container slot of the pool, and one call that waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.assign import Room, Slot, SlotState, Waiter
from spacedock_worker.containers.container import RunningContainer
from spacedock_worker.containers.lease import Lease
from spacedock_worker.containers.profiles import Profiles
from spacedock_worker.containers.ready import App, Connect
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError

OnProgress = Callable[[str], None]

WAITING_FOR_CALLS = "waiting for the calls before it"
WAITING_FOR_ROOM = "waiting for room for its container"

ROOM_SECONDS = 4 * 3600.0
"""How long a call may wait for a container; longer than any start takes (`LONGEST_START`)."""


@dataclass(slots=True, eq=False)
class Place(Generic[App]):
    """A container slot. `container` is there once it was begun, `app` once that has answered.

    `fresh` are the seconds that its start took, until a call has heard of it; `since` is the time of the last
    grant or release. `waking` says that it was asleep when it was last brought up, `answered` that a call
    went well, `emptying` that its removal has begun. `work` is what is being done to the container, `cooler`
    what will be. `digest` is its image's, `peak` the most bytes that its like were seen to use (0: unknown).
    """

    id: int
    key: str
    space: str
    room: Room
    state: SlotState
    capacity: int = 1
    calls: int = 0
    digest: str = ""
    peak: int = 0
    spec: ContainerSpec | None = None
    container: RunningContainer | None = None
    app: App | None = None
    fresh: float = 0.0
    since: float = 0.0
    waking: bool = False
    answered: bool = False
    emptying: bool = False
    work: asyncio.Task[None] | None = None
    cooler: asyncio.TimerHandle | None = None

    def slot(self, profiles: Profiles, now: float) -> Slot:
        """The place as the decision sees it."""
        cost = profiles.cost(self.key, now)
        return Slot(
            self.id,
            self.key,
            self.state,
            self.room,
            self.calls,
            self.capacity,
            cost,
            self.waking,
            self.peak,
        )

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
class Waiting(Generic[App]):
    """A call in the queue; `granted` becomes the place that it gets.

    `connect` is None for a program that runs once: it needs a place, not an app. `peak` as in `Place`.
    """

    id: int
    key: str
    spec: ContainerSpec
    room: Room
    connect: Connect[App] | None
    tell: OnProgress
    since: float
    peak: int = 0
    granted: asyncio.Future[Place[App]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def turn(self) -> Place[App]:
        """The place, once it is granted. Raises StepError (`cancelled`) where none is within ROOM_SECONDS."""
        try:
            async with asyncio.timeout_at(self.since + ROOM_SECONDS):
                return await self.granted
        except TimeoutError as error:
            message = f"this host had no room for the container within {ROOM_SECONDS:g} s"
            raise StepError(Stage.START, ErrorKind.CANCELLED, message) from error

    def place(self, number: int) -> Place[App]:
        """The place that is made for it, still without a container."""
        spec, state = self.spec, SlotState.RUNNING
        place: Place[App] = Place(number, self.key, spec.space, self.room, state, spec.calls)
        place.digest, place.peak = spec.digest, self.peak
        return place

    def waiter(self, patience: float, now: float) -> Waiter:
        """The call as the decision sees it."""
        return Waiter(self.id, self.key, self.room, now - self.since >= patience, self.peak)

    def tell_why(self, states: Collection[SlotState]) -> None:
        """Say what the call waits for, where its Space's containers do that; a start tells of itself."""
        if SlotState.RUNNING in states:
            self.tell(WAITING_FOR_CALLS)
        elif SlotState.STARTING not in states:
            self.tell(WAITING_FOR_ROOM)
