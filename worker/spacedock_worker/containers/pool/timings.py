"""What was measured of each Space's containers: how long starts and calls take, and which are outdated."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from spacedock_worker.containers.pool.scheduler import Pace
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec

_WEIGHT = 0.3
_REMEMBERED = 1024

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class KeyTimings:
    """One key's measures in seconds (None: not measured yet); `asked` is when a call last asked for it.

    `alone` says that a second container beside a running one failed to start.
    """

    start: float | None = None
    call: float | None = None
    asked: float = 0.0
    alone: bool = False


class TimingStore:
    """The profiles of the keys that were used last; times are the event loop's, in seconds.

    A key is a build of a Space, and how it runs; all of one Space have their family in common.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, KeyTimings] = OrderedDict()
        self._newest: OrderedDict[str, float] = OrderedDict()

    def started(self, key: str, seconds: float) -> None:
        """A container of that key became ready after so long."""
        profile = self._get(key)
        self._put(key, replace(profile, start=_mean(profile.start, seconds)))

    def asked(self, key: str, family: str, now: float) -> bool:
        """A call asks for a container of that key; whether it is the first one, as far as is known."""
        new = key not in self._known
        if new:
            _remember(self._newest, family, now)
        self._put(key, replace(self._get(key), asked=now))
        return new

    def is_outdated(self, key: str, family: str) -> bool:
        """Whether a newer key of the family has come since that one was last asked for."""
        return self._get(key).asked < self._newest.get(family, 0.0)

    def recall(self, key: str, start: float | None, call: float | None) -> None:
        """What starts and calls took in an earlier life, for a key that this one has not measured."""
        self._put(key, replace(self._get(key), start=start, call=call))

    def called(self, key: str, seconds: float) -> None:
        """A call ended after so long."""
        profile = self._get(key)
        self._put(key, replace(profile, call=_mean(profile.call, seconds)))

    def stays_alone(self, key: str) -> None:
        """A second container of that key beside a running one could not be started."""
        self._put(key, replace(self._get(key), alone=True))

    def start_seconds(self, key: str) -> float | None:
        """What a start takes; None where none was measured."""
        return self._get(key).start

    def pace(self, key: str, under_way: float) -> Pace | None:
        """Start and call time, where a call has been under way for so long; None where it stays alone."""
        profile = self._get(key)
        if profile.start is None or profile.alone:
            return None
        return Pace(profile.start, max(profile.call or 0.0, under_way))

    def _get(self, key: str) -> KeyTimings:
        return self._known.get(key, KeyTimings())

    def _put(self, key: str, profile: KeyTimings) -> None:
        _remember(self._known, key, profile)


def _remember(known: OrderedDict[str, _T], key: str, value: _T) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)


def _mean(before: float | None, seconds: float) -> float:
    """The running mean, in which what was measured last weighs most."""
    return seconds if before is None else before + _WEIGHT * (seconds - before)


_ENOUGH_STARTS = 3
_TIMES_LONGEST = 5.0


class StartTimings(Protocol):
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


class StartHistory(Protocol):
    """Who remembers; neither method blocks."""

    def of(self, digest: str, space: str | None = None) -> StartTimings | None:
        """What was measured of the image, by that Space alone if one is given; None where it has not run."""
        ...

    def peaked(self, digest: str, memory: int) -> None:
        """A container of the image was seen to use so many bytes of memory."""
        ...


class Unmeasured:
    """Remembers nothing; implements `StartHistory`."""

    def of(self, digest: str, space: str | None = None) -> StartTimings | None:
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

    def __init__(self, settings: ContainerSettings, measures: StartHistory) -> None:
        self._settings, self._measures = settings, measures
        self._overran: set[str] = set()

    def of(self, spec: ContainerSpec) -> StartLimit:
        """What the Space's entry says; else by what its starts took before; else what the settings say.

        After a start that outlasted its measured limit the next is given the usual time: a model that must be
        downloaded again may need it. What another Space on the same image did counts for nothing: its
        program may be another.
        """
        # A stranger's wish may give its Space more time, never less.
        usual = max(self._settings.start_timeout, spec.asked_start or 0)
        if spec.start_timeout is not None:
            return StartLimit(spec.start_timeout)
        found = self._measures.of(spec.digest, spec.space)
        if found is None or found.start_max is None or found.starts < _ENOUGH_STARTS:
            return StartLimit(usual)
        seconds = max(self._settings.start_least, _TIMES_LONGEST * found.start_max)
        if spec.app in self._overran or seconds >= usual:
            return StartLimit(usual)
        why = (
            f"Its {found.starts} starts before took {found.start_max:.1f} s at most. The next "
            f"start is given {usual:g} s. Set `start_timeout` for this Space if it may take that long."
        )
        return StartLimit(seconds, why)

    def answered(self, spec: ContainerSpec) -> None:
        """A start of the Space was in time."""
        self._overran.discard(spec.app)

    def overran(self, spec: ContainerSpec) -> None:
        """A start of the Space was given up."""
        self._overran.add(spec.app)
