"""All container slots of the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Generic

from spacedock_worker.containers.assign import Pace, Slot, SlotState
from spacedock_worker.containers.place import Place
from spacedock_worker.containers.profiles import Profiles
from spacedock_worker.containers.ready import App

_WORDS = ("starting", "busy", "idle", "asleep", "stopping", "stopped")


class Places(Generic[App]):
    """The places by their number."""

    def __init__(self) -> None:
        self._all: dict[int, Place[App]] = {}

    def __iter__(self) -> Iterator[Place[App]]:
        """A snapshot: places may come and go meanwhile."""
        return iter(tuple(self._all.values()))

    def __getitem__(self, number: int) -> Place[App]:
        return self._all[number]

    def add(self, place: Place[App]) -> None:
        """A place more."""
        self._all[place.id] = place

    def drop(self, place: Place[App]) -> None:
        """The place is no more; twice is safe."""
        self._all.pop(place.id, None)

    def states(self, key: str) -> set[SlotState]:
        """What the containers of that key are doing."""
        return {place.state for place in self if place.key == key}

    def peak(self, key: str) -> int:
        """The most bytes that containers of that key were seen to use; 0 where that is not known."""
        return max((place.peak for place in self._all.values() if place.key == key), default=0)

    def slots(self, profiles: Profiles, now: float) -> list[Slot]:
        """The places as the decision sees them."""
        return [place.slot(profiles, now) for place in self]

    def paces(self, profiles: Profiles, now: float) -> dict[str, Pace]:
        """What was measured of the Spaces in use; a call that takes longer than those before it counts."""
        longest: dict[str, float] = {}
        for place in self:
            if place.calls > 0:
                longest[place.key] = max(longest.get(place.key, 0.0), now - place.since)
        found = {key: profiles.pace(key, under_way) for key, under_way in longest.items()}
        return {key: pace for key, pace in found.items() if pace is not None}

    def stopped_beyond(self, count: int) -> list[Place[App]]:
        """The stopped containers that are too many, if `count` may stay: those stopped first."""
        stopped = sorted((p for p in self if p.state is SlotState.STOPPED), key=lambda place: place.since)
        return stopped[: max(0, len(stopped) - count)]

    def counts(self) -> dict[str, int]:
        """How many containers are in which state, in words, but for those that none is in."""
        counts = Counter(place.word for place in self)
        return {word: counts[word] for word in _WORDS if counts[word]}

    @property
    def taken(self) -> int:
        """How many take room."""
        return sum(place.state is not SlotState.STOPPED for place in self)
