"""What the queue's events come to: each job's last step, the last ended jobs, and counts by the minute.

It does no I/O and reads no clock: every time is that of an event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from statistics import quantiles
from typing import Any

from pydantic import BaseModel, ConfigDict

from spacedock._wire import keys
from spacedock.events import Event
from spacedock.states import JobState

MINUTES = 60
"""So many minutes are counted."""

_JOBS, _ENDED, _BATCHES = 5000, 400, 50
_TIMES = 1000


class MinuteRow(BaseModel):
    """The jobs that ended within a minute, which begins `at` (seconds since 1970).

    `degraded` are among the succeeded. `p50` and `p95` are seconds from a job's first step to its end.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    succeeded: int = 0
    degraded: int = 0
    failed: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(slots=True)
class Minute:
    """What is counted of one minute; `seconds` are what the first jobs of it took."""

    succeeded: int = 0
    degraded: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)


@dataclass(slots=True)
class QueueTally:
    """All events up to the number `last`, folded together; each dictionary has the newest last.

    `steps` and `begun` are of jobs that have not ended: the last event of each, and when its first came.
    `ended` are ends of jobs, but for those of pipelines' steps, which their run stands for; `batches` are the
    times of each batch's last event, `seen` all jobs that were told of.
    """

    last: int = 0
    steps: dict[str, Event] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    ended: dict[str, Event] = field(default_factory=dict)
    batches: dict[str, float] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)
    minutes: dict[int, Minute] = field(default_factory=dict)

    def fold(self, event: Event) -> None:
        """Take in one more event."""
        self.last = max(self.last, event.id)
        if not event.job_id:
            return
        if event.batch:
            self.batches.pop(event.batch, None)
            self.batches[event.batch] = event.at
        self.seen[event.job_id] = None
        if event.state is None:
            self.begun.setdefault(event.job_id, event.at)
            self.steps[event.job_id] = event
        else:
            self._count(event)
            self.steps.pop(event.job_id, None)
            if keys.run_of(event.job_id) is None:
                self.ended[event.job_id] = event
        for kept, most in (
            (self.steps, _JOBS),
            (self.begun, _JOBS),
            (self.seen, 2 * _JOBS),
            (self.ended, _ENDED),
            (self.batches, _BATCHES),
            (self.minutes, MINUTES),
        ):
            _forget_oldest(kept, most)

    def rows(self) -> Iterator[MinuteRow]:
        """The minutes in which jobs ended, the oldest first."""
        for number, one in sorted(self.minutes.items()):
            times = sorted(one.seconds)
            cuts = quantiles(times, n=20) if len(times) > 1 else times * 19
            yield MinuteRow(
                at=number * 60.0,
                succeeded=one.succeeded,
                degraded=one.degraded,
                failed=one.failed,
                p50=cuts[9] if cuts else None,
                p95=cuts[18] if cuts else None,
            )

    def _count(self, event: Event) -> None:
        minute = self.minutes.setdefault(int(event.at // 60), Minute())
        minute.succeeded += event.state is JobState.SUCCEEDED
        minute.degraded += event.message.endswith("(degraded)")
        minute.failed += event.state in (JobState.FAILED, JobState.DEAD)
        since = self.begun.pop(event.job_id, None)
        if since is not None and len(minute.seconds) < _TIMES:
            minute.seconds.append(max(0.0, event.at - since))


def _forget_oldest(kept: dict[Any, Any], most: int) -> None:
    for key in list(islice(kept, max(0, len(kept) - most))):
        del kept[key]
