"""What the pool learns of each Space as it uses its containers: their profiles, and who is quarantined."""

from __future__ import annotations

from typing import Any

from spacedock.result import ErrorKind
from spacedock_worker.containers.measures import Measures, Unmeasured
from spacedock_worker.containers.place import Place
from spacedock_worker.containers.profiles import Profiles
from spacedock_worker.containers.quarantine import Quarantine, blameless
from spacedock_worker.errors import StepError

_DEATHS = frozenset({ErrorKind.CRASHED, ErrorKind.OUT_OF_MEMORY, ErrorKind.OUT_OF_DISK})


class Experience:
    """Learns from calls and starts; `now` is the event loop's time, in seconds."""

    def __init__(self, measures: Measures | None = None) -> None:
        self.profiles, self.quarantine = Profiles(), Quarantine()
        self._measures = measures or Unmeasured()

    def peak(self, digest: str) -> int:
        """The most bytes that containers of the image were seen to use; 0 where that is not known."""
        found = self._measures.of(digest)
        return (found.peak_memory or 0) if found else 0

    def recall(self, key: str, digest: str) -> None:
        """Begin with what was measured of the image in an earlier life."""
        if not self.profiles.knows(key) and (found := self._measures.of(digest)) is not None:
            self.profiles.recall(key, found.start_p50, found.call_p50)

    def answered(self, place: Place[Any], seconds: float, now: float) -> None:
        """A call went well."""
        place.answered = True
        self.quarantine.answered(place.key)
        self.profiles.called(place.key, seconds, now)

    def failed(self, place: Place[Any], error: StepError, now: float) -> None:
        """A call went wrong: to die before any answer is as bad as never to start."""
        if error.kind in _DEATHS and not place.answered:
            self.quarantine.failed(place.key, place.space, error, now)

    def not_started(self, place: Place[Any], error: StepError, now: float, *, others: bool) -> None:
        """No container could be brought up; with `others` of the Space running, it gets no more of them."""
        if blameless(error):
            return
        if others:
            self.profiles.stays_alone(place.key)
        else:
            self.quarantine.failed(place.key, place.space, error, now)
