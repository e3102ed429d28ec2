"""What the pool knows of Spaces: how long starts and calls take, which builds are outdated, who failed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.pool.slots import Slot
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.profiling.profiles import ProfileStore

RECENT_SECONDS = 60.0
"""Seconds without a call after which a container is worth half."""

REST_SECONDS = 30.0
"""Seconds without a call after which a container has rested; those of its start where that takes longer."""

ALONE_SECONDS = 600.0
"""How long a Space has one container after a second one failed: that may be a moment's trouble."""

FIRST_PAUSE = 10.0
LONGEST_PAUSE = 600.0
_DEATHS = frozenset({ErrorKind.CRASHED, ErrorKind.OUT_OF_MEMORY, ErrorKind.OUT_OF_DISK})
_BLAMELESS = frozenset({ErrorKind.DOCKER_UNAVAILABLE, ErrorKind.CANCELLED})
_WEIGHT = 0.3
_REMEMBERED = 1024

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured of a Space: seconds to start a container, and that a call takes."""

    start: float
    call: float


@dataclass(eq=False, slots=True)
class Expected:
    """The Spaces that a running chain may ask from now on (`ContainerSpec.family`)."""

    families: frozenset[str] = frozenset()


class History:
    """Learns from calls and starts; `now` is the event loop's time, in seconds."""

    def __init__(self, measures: ProfileStore) -> None:
        self.timings, self.quarantine = TimingStore(), Quarantine()
        self._measures = measures
        self._chains: set[Expected] = set()
        self._floor = 0.0

    def assess(self, slots: Iterable[Slot[Any]], now: float) -> None:
        """Write down at each slot what a decision needs to know of it."""
        expected = self.expected
        for slot in slots:
            start = self.timings.start_seconds(slot.key) or 0.0
            slot.cost = loss(start, now - slot.since, slot.floor)
            slot.outdated = self.timings.is_outdated(slot.key, slot.family)
            slot.expected = slot.family in expected
            slot.rested = now - slot.since >= rest_seconds(start)

    def paces(self, slots: Iterable[Slot[Any]], now: float) -> dict[str, Pace]:
        """What was measured of the Spaces in use; a call that takes longer than those before it counts."""
        longest: dict[str, float] = {}
        for slot in slots:
            if slot.calls > 0:
                longest[slot.key] = max(longest.get(slot.key, 0.0), now - slot.since)
        found = {key: self.timings.pace(key, under_way, now) for key, under_way in longest.items()}
        return {key: pace for key, pace in found.items() if pace is not None}

    def used(self, slot: Slot[Any], now: float) -> None:
        """A call begins to use the container, or ends."""
        slot.since, slot.floor = now, self._floor

    def lost(self, slots: Iterable[Slot[Any]]) -> None:
        """Containers are given up. To lose an outdated one costs nothing."""
        self._floor = max([self._floor, *(slot.cost for slot in slots if not slot.outdated)])

    def peak(self, digest: str) -> int:
        """The most bytes that containers of the image were seen to use; 0 where that is not known."""
        found = self._measures.of(digest)
        return (found.peak_memory or 0) if found else 0

    def peaked(self, slot: Slot[Any], memory: int) -> None:
        """The slot's container was seen to use so many bytes of memory."""
        if slot.container is not None:
            peak = slot.container.peak_memory = max(memory, slot.container.peak_memory or 0)
            slot.peak = max(peak, slot.peak)
            if slot.digest:
                self._measures.peaked(slot.digest, peak)

    def asked(self, key: str, spec: ContainerSpec, now: float) -> None:
        """A call asks for a container; the first one begins with what was measured in an earlier life."""
        first = self.timings.asked(key, spec.family or spec.space, now)
        if first and (found := self._measures.of(spec.digest)) is not None:
            self.timings.recall(key, found.start_p50, found.call_p50)

    @contextmanager
    def expecting(self) -> Iterator[Expected]:
        """For this block a chain of steps expects to ask the Spaces that it writes down in the value."""
        expected = Expected()
        self._chains.add(expected)
        try:
            yield expected
        finally:
            self._chains.discard(expected)

    @property
    def expected(self) -> frozenset[str]:
        """The families that running chains expect to ask."""
        return frozenset().union(*(chain.families for chain in self._chains))

    def answered(self, slot: Slot[Any], seconds: float) -> None:
        """A call went well."""
        slot.answered = True
        self.quarantine.answered(slot.key)
        self.timings.called(slot.key, seconds)

    def failed(self, slot: Slot[Any], error: StepError, now: float) -> None:
        """A call went wrong: to die before any answer is as bad as never to start."""
        if error.kind in _DEATHS and not slot.answered:
            self.quarantine.failed(slot.key, slot.space, error, now)

    def not_started(self, slot: Slot[Any], error: StepError, now: float, *, others: bool) -> None:
        """No container could be brought up; with `others` of the Space running, it gets no more of them."""
        if blameless(error):
            return
        if others:
            self.timings.stays_alone(slot.key, now)
        else:
            self.quarantine.failed(slot.key, slot.space, error, now)


def rest_seconds(start: float) -> float:
    """Seconds without a call after which a container that starts in `start` seconds has rested."""
    return max(REST_SECONDS, start)


def loss(start: float, idle: float, floor: float) -> float:
    """What it costs to lose a container that starts in `start` seconds and is unused for `idle` seconds.

    `floor` is the greatest loss that was taken before its last use. So one that is slow to start outlives
    others only until these have cost as much by starting again and again.
    """
    return float(floor + start * 0.5 ** (max(0.0, idle) / RECENT_SECONDS))


@dataclass(frozen=True, slots=True)
class KeyTimings:
    """One key's measures in seconds (None: not measured yet); `asked` is when a call last asked for it.

    Until `alone` no second container is started beside a running one, as one failed to start.
    """

    start: float | None = None
    call: float | None = None
    asked: float = 0.0
    alone: float = 0.0


class TimingStore:
    """The timings of the keys that were used last; times are the event loop's, in seconds.

    A key is a build of a Space, and how it runs; all of one Space have their family in common.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, KeyTimings] = OrderedDict()
        self._newest: OrderedDict[str, float] = OrderedDict()

    def started(self, key: str, seconds: float) -> None:
        """A container of that key became ready after so long."""
        known = self._get(key)
        self._put(key, replace(known, start=_mean(known.start, seconds)))

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
        known = self._get(key)
        self._put(key, replace(known, call=_mean(known.call, seconds)))

    def stays_alone(self, key: str, now: float) -> None:
        """A second container of that key beside a running one could not be started."""
        self._put(key, replace(self._get(key), alone=now + ALONE_SECONDS))

    def start_seconds(self, key: str) -> float | None:
        """What a start takes; None where none was measured."""
        return self._get(key).start

    def measured(self, key: str, now: float) -> tuple[float | None, float | None]:
        """What a call and a start take; None where none was measured, or no second one is to be started."""
        timings = self._get(key)
        return timings.call, None if timings.alone > now else timings.start

    def pace(self, key: str, under_way: float, now: float) -> Pace | None:
        """Start and call time, where a call has been under way for so long; None where it stays alone."""
        known = self._get(key)
        if known.start is None or known.alone > now:
            return None
        return Pace(known.start, max(known.call or 0.0, under_way))

    def _get(self, key: str) -> KeyTimings:
        return self._known.get(key, KeyTimings())

    def _put(self, key: str, timings: KeyTimings) -> None:
        _remember(self._known, key, timings)


def _remember(known: OrderedDict[str, _T], key: str, value: _T) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)


def _mean(before: float | None, seconds: float) -> float:
    """The running mean, in which what was measured last weighs most."""
    return seconds if before is None else before + _WEIGHT * (seconds - before)


@dataclass(frozen=True, slots=True)
class _Record:
    space: str
    failures: int
    until: float
    reason: str


class Quarantine:
    """The Spaces whose containers failed in a row before they answered a single call; times in seconds.

    The first failure costs nothing; from the second on no container is started for 10 s, 20 s, … 10 minutes.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def check(self, key: str, now: float) -> None:
        """Raises StepError `quarantined` while the key's container must not be started."""
        record = self._records.get(key)
        if record is None or record.until <= now:
            return
        message = (
            f"{record.space} failed {record.failures} times in a row and is not started again for "
            f"{record.until - now:.0f} s. The last time: {record.reason}"
        )
        raise StepError(Stage.START, ErrorKind.QUARANTINED, message)

    def failed(self, key: str, space: str, error: StepError, now: float) -> None:
        """A container of that key ended, or did not start, without having answered a call."""
        if blameless(error):
            return
        before = self._records.pop(key, None)
        failures = 1 + (before.failures if before else 0)
        pause = 0.0 if failures == 1 else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 2, 30))
        self._records[key] = _Record(space, failures, now + pause, str(error))
        while len(self._records) > _REMEMBERED:
            self._records.popitem(last=False)

    def answered(self, key: str) -> None:
        """A container of that key answered a call: all is well."""
        self._records.pop(key, None)

    def resting(self, now: float) -> dict[str, tuple[float, str]]:
        """The Spaces that are not started now: for how many seconds more, and why."""
        # A copy: other threads ask, while the event loop's goes on.
        records = tuple(self._records.values())
        return {r.space: (r.until - now, r.reason) for r in records if r.until > now}


def blameless(error: StepError) -> bool:
    """Whether the error is no Space's fault."""
    return error.host or error.kind in _BLAMELESS or isinstance(error, HostBusyError)
