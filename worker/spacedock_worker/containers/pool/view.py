"""What the pool holds, told to whoever shows it or cleans up beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic

from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool.history import History
from spacedock_worker.containers.pool.lifecycle import Lifecycle
from spacedock_worker.containers.pool.readiness import App
from spacedock_worker.containers.pool.slots import Slots, SlotState, WaitQueue
from spacedock_worker.containers.pool.starter import Starter


@dataclass(frozen=True, slots=True)
class SpaceStatus:
    """One Space: its containers by state ("running", "paused", "stopped").

    `quarantined_for` says in how many seconds it may be started again, `reason` why it may not yet.
    """

    containers: Mapping[str, int] = field(default_factory=dict)
    quarantined_for: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SpaceUp:
    """One Space's containers that are up or coming up, the calls that each takes at once, and what a call
    and a start take (seconds; None: not measured)."""

    containers: int
    calls: int
    call_seconds: float | None
    start_seconds: float | None


_FORGET_SECONDS = 30.0
_UP = (SlotState.STARTING, SlotState.RUNNING, SlotState.ASLEEP)
_WORDS = {
    SlotState.STARTING: "starting",
    SlotState.RUNNING: "running",
    SlotState.ASLEEP: "paused",
    SlotState.STOPPED: "stopped",
}


class PoolView(Generic[App]):
    """What the pool holds now; asking changes nothing, but for `forget`."""

    def __init__(
        self,
        slots: Slots[App],
        lifecycle: Lifecycle[App],
        history: History,
        starter: Starter[App],
        wait_queue: WaitQueue[App],
    ) -> None:
        self._slots, self._lifecycle, self._wait_queue = slots, lifecycle, wait_queue
        self._history, self._starter = history, starter

    def status(self) -> Mapping[str, SpaceStatus]:
        """Each Space that has a container, or is in quarantine, by its name; any thread may ask."""
        counts: dict[str, Counter[str]] = {}
        for slot in self._slots:
            if slot.state in _WORDS:
                counts.setdefault(slot.space, Counter())[_WORDS[slot.state]] += 1
        found = {space: SpaceStatus(dict(count)) for space, count in counts.items()}
        resting = self._history.quarantine.resting(monotonic())
        for space, (seconds, reason) in resting.items():
            found[space] = SpaceStatus(dict(counts.get(space, {})), seconds, reason)
        return found

    def taken(self) -> Room:
        """What the containers take that are not stopped."""
        rooms = (slot.room for slot in self._slots if slot.state is not SlotState.STOPPED)
        return sum(rooms, Room(containers=0))

    def up(self) -> dict[str, SpaceUp]:
        """Each Space that has a container which takes calls, or will in a moment, by its name."""
        found: dict[str, SpaceUp] = {}
        now = monotonic()
        for slot in self._slots:
            if slot.state in _UP and not self._history.timings.is_outdated(slot.key, slot.family):
                call, start = self._history.timings.measured(slot.key, now)
                before = found.get(slot.space)
                count = before.containers + 1 if before else 1
                found[slot.space] = SpaceUp(count, slot.capacity, call, start)
        return found

    @property
    def short(self) -> bool:
        """Whether a call waits for room: no container of its Space is up, nor coming up."""
        up = {slot.key for slot in self._slots if slot.state in _UP}
        return any(waiter.key not in up for waiter in self._wait_queue)

    @property
    def limit(self) -> Room:
        """What all containers may take together."""
        return self._starter.resources.limit

    @property
    def host_fault(self) -> str | None:
        """Why this host can start no container; None while it can, or nobody has tried."""
        return self._starter.host_fault

    def held(self) -> frozenset[str]:
        """The names of the containers that the pool looks after itself: nobody else may remove them."""
        return self._starter.names

    async def forget(self, space: str) -> None:
        """Remove the Space's containers, the busy ones once their call is over; bounded, never raises."""
        for slot in self._slots:
            if slot.space == space:
                self._lifecycle.discard(slot)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FORGET_SECONDS):
                await self._lifecycle.settled()
