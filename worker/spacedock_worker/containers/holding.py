"""What the pool holds, told to whoever shows it or cleans up beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Generic

from spacedock_worker.containers.assign import Room, SlotState
from spacedock_worker.containers.lifecycle import Lifecycle
from spacedock_worker.containers.places import Places
from spacedock_worker.containers.quarantine import Quarantine
from spacedock_worker.containers.ready import App
from spacedock_worker.containers.starter import Starter
from spacedock_worker.containers.status import SpaceStatus

_FORGET_SECONDS = 30.0
_WORDS = {
    SlotState.STARTING: "starting",
    SlotState.RUNNING: "running",
    SlotState.ASLEEP: "paused",
    SlotState.STOPPED: "stopped",
}


class Holding(Generic[App]):
    """A view of the pool; implements `Holder`."""

    def __init__(
        self,
        places: Places[App],
        lifecycle: Lifecycle[App],
        quarantine: Quarantine,
        starter: Starter,
    ) -> None:
        self._places, self._lifecycle = places, lifecycle
        self._quarantine, self._starter = quarantine, starter

    def status(self) -> Mapping[str, SpaceStatus]:
        """Each Space that has a container, or is in quarantine, by its name; any thread may ask."""
        counts: dict[str, Counter[str]] = {}
        for place in self._places:
            if place.state in _WORDS:
                counts.setdefault(place.space, Counter())[_WORDS[place.state]] += 1
        found = {space: SpaceStatus(space, dict(count)) for space, count in counts.items()}
        resting = self._quarantine.resting(monotonic())
        for space, (seconds, reason) in resting.items():
            found[space] = SpaceStatus(space, dict(counts.get(space, {})), seconds, reason)
        return found

    def taken(self) -> Room:
        """What the containers take that are not stopped."""
        rooms = (place.room for place in self._places if place.state is not SlotState.STOPPED)
        return sum(rooms, Room(containers=0))

    @property
    def host_fault(self) -> str | None:
        """Why this host can start no container; None while it can, or nobody has tried."""
        return self._starter.host_fault

    def held(self) -> frozenset[str]:
        """The names of the containers that the pool looks after itself: nobody else may remove them."""
        return self._starter.names

    async def forget(self, space: str) -> None:
        """Remove the Space's containers, the busy ones once their call is over; bounded, never raises."""
        for place in self._places:
            if place.space == space:
                self._lifecycle.discard(place)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FORGET_SECONDS):
                await self._lifecycle.settled()
