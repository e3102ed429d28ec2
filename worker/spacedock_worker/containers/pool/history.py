"""What the pool knows of each Space: its profile, whether it is quarantined, and who expects it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.pool.slots import Slot
from spacedock_worker.containers.pool.timings import StartHistory, TimingStore, Unmeasured
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import HostBusyError, StepError

_DEATHS = frozenset({ErrorKind.CRASHED, ErrorKind.OUT_OF_MEMORY, ErrorKind.OUT_OF_DISK})


@dataclass(eq=False, slots=True)
class Expected:
    """The Spaces that a running chain may ask from now on (`ContainerSpec.family`)."""

    families: frozenset[str] = frozenset()


class Experience:
    """Learns from calls and starts; `now` is the event loop's time, in seconds."""

    def __init__(self, measures: StartHistory | None = None) -> None:
        self.profiles, self.quarantine = TimingStore(), Quarantine()
        self._measures = measures or Unmeasured()
        self._chains: set[Expected] = set()

    def peak(self, digest: str) -> int:
        """The most bytes that containers of the image were seen to use; 0 where that is not known."""
        found = self._measures.of(digest)
        return (found.peak_memory or 0) if found else 0

    def asked(self, key: str, spec: ContainerSpec, now: float) -> None:
        """A call asks for a container; the first one begins with what was measured in an earlier life."""
        first = self.profiles.asked(key, spec.family or spec.space, now)
        if first and (found := self._measures.of(spec.digest)) is not None:
            self.profiles.recall(key, found.start_p50, found.call_p50)

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
        self.profiles.called(slot.key, seconds)

    def failed(self, slot: Slot[Any], error: StepError, now: float) -> None:
        """A call went wrong: to die before any answer is as bad as never to start."""
        if error.kind in _DEATHS and not slot.answered:
            self.quarantine.failed(slot.key, slot.space, error, now)

    def not_started(self, slot: Slot[Any], error: StepError, now: float, *, others: bool) -> None:
        """No container could be brought up; with `others` of the Space running, it gets no more of them."""
        if blameless(error):
            return
        if others:
            self.profiles.stays_alone(slot.key)
        else:
            self.quarantine.failed(slot.key, slot.space, error, now)


FIRST_PAUSE = 10.0
LONGEST_PAUSE = 600.0
_BLAMELESS = frozenset({ErrorKind.DOCKER_UNAVAILABLE, ErrorKind.CANCELLED})

_REMEMBERED = 1024


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
