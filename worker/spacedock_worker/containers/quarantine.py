"""Keeping a Space that fails to start from being started again and again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import HostBusyError, StepError

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
