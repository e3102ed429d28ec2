"""The calls that wait for a container, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

from spacedock_worker.containers.place import Place, Waiting
from spacedock_worker.containers.ready import App
from spacedock_worker.errors import StepError


class Line(Generic[App]):
    """Who waits; a call that was granted a place waits no longer, even while it is still in the line."""

    def __init__(self) -> None:
        self._calls: dict[int, Waiting[App]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Waiting[App]]:
        """Those that wait, the longest waiting first."""
        return iter([call for _, call in sorted(self._calls.items()) if not call.granted.done()])

    def __getitem__(self, number: int) -> Waiting[App]:
        return self._calls[number]

    def join(self, waiting: Waiting[App]) -> None:
        """Wait from now on."""
        self._calls[waiting.id] = waiting

    def leave(self, waiting: Waiting[App]) -> None:
        """Go: with a place, with an error, or because the call was cancelled."""
        del self._calls[waiting.id]

    def first(self, key: str) -> Waiting[App]:
        """Who has waited longest for a container of that key; there must be one."""
        return next(call for call in self if call.key == key)

    def wants(self, place: Place[App]) -> bool:
        """Whether anybody in the line wants a container of the place's Space."""
        return any(call.key == place.key for call in self._calls.values())

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
