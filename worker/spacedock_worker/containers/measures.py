"""What was measured of images in earlier lives of the worker, and how long a start may take by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec

_ENOUGH_STARTS = 3
_TIMES_LONGEST = 5.0


class Measured(Protocol):
    """One image's measures in seconds and bytes, None where there are none; `starts` is how many starts."""

    @property
    def starts(self) -> int: ...  # noqa: D102
    @property
    def start_p50(self) -> float | None: ...  # noqa: D102
    @property
    def start_max(self) -> float | None: ...  # noqa: D102
    @property
    def call_p50(self) -> float | None: ...  # noqa: D102
    @property
    def peak_memory(self) -> int | None: ...  # noqa: D102


class Measures(Protocol):
    """Who remembers; neither method blocks."""

    def of(self, digest: str) -> Measured | None:
        """What was measured of the image; None where it has not run."""
        ...

    def peaked(self, digest: str, memory: int) -> None:
        """A container of the image was seen to use so many bytes of memory."""
        ...


class Unmeasured:
    """Remembers nothing; implements `Measures`."""

    def of(self, digest: str) -> Measured | None:
        """Nothing."""
        return None

    def peaked(self, digest: str, memory: int) -> None:
        """Lets it pass."""


@dataclass(frozen=True, slots=True)
class StartLimit:
    """Seconds from a start to the first answer; `why` says for people what that limit comes from."""

    seconds: float
    why: str = "Raise `start_timeout` for this Space."


class StartLimits:
    """How long the apps of images may take to answer."""

    def __init__(self, settings: ContainerSettings, measures: Measures) -> None:
        self._settings, self._measures = settings, measures
        self._overran: set[str] = set()

    def of(self, spec: ContainerSpec) -> StartLimit:
        """What the Space's entry says; else by what its starts took before; else what the settings say.

        After a start that outlasted its measured limit the next is given the usual time: a model that must be
        downloaded again may need it.
        """
        usual = self._settings.start_timeout
        if spec.start_timeout is not None:
            return StartLimit(spec.start_timeout)
        found = self._measures.of(spec.digest)
        if found is None or found.start_max is None or found.starts < _ENOUGH_STARTS:
            return StartLimit(usual)
        seconds = max(self._settings.start_least, _TIMES_LONGEST * found.start_max)
        if spec.digest in self._overran or seconds >= usual:
            return StartLimit(usual)
        why = (
            f"Its {found.starts} starts before took {found.start_max:.1f} s at most. The next "
            f"start is given {usual:g} s. Set `start_timeout` for this Space if it may take that long."
        )
        return StartLimit(seconds, why)

    def answered(self, spec: ContainerSpec) -> None:
        """A start of the image was in time."""
        self._overran.discard(spec.digest)

    def overran(self, spec: ContainerSpec) -> None:
        """A start of the image was given up."""
        self._overran.add(spec.digest)
