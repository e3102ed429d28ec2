"""How a Space did in a comparison, and how that is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from spacedock.cli.output import table
from spacedock.cli.output.text import say, write
from spacedock.cli.output.units import memory, took
from spacedock.request import JobRequest, own_id
from spacedock.result import AttemptError, JobResult

_BEGINNING = 60
_COLUMNS = ("name", "ok", "cold start", "p50", "p95", "min", "jobs/s", "memory")


@dataclass(slots=True)
class Contestant:
    """A Space's results so far; seconds and bytes. `measured_as` is its profile's name.

    `cold_start` is the longest start (None: it was warm), `busy` what its jobs took from submission to
    result but for getting images and starting, `peak_memory` what its container used at most.
    """

    name: str
    measured_as: str
    failed: int = 0
    calls: list[float] = field(default_factory=list)
    busy: float = 0.0
    cold_start: float | None = None
    digest: str | None = None
    answer: str | None = None
    error: AttemptError | None = None
    peak_memory: int | None = None

    @property
    def succeeded(self) -> int:
        """How many of its jobs it answered."""
        return len(self.calls)

    def add(self, result: JobResult) -> None:
        """Count a result."""
        times = result.timings
        if not result.succeeded:
            # The first says most: of a Space that has failed before, it is that it rests in quarantine.
            self.failed, self.error = self.failed + 1, self.error or result.error
            return
        self.calls.append(times.call)
        self.busy += max(0.0, times.total - times.start - times.prepare)
        if times.start > 0:
            self.cold_start = max(self.cold_start or 0.0, times.start)
        if result.answered_by is not None:
            self.digest = result.answered_by.image_digest
        self.answer = self.answer if self.answer is not None else _beginning(result)

    def row(self) -> dict[str, Any]:
        """Its numbers, for programs."""
        calls = sorted(self.calls)
        return {
            "succeeded": self.succeeded,
            "failed": self.failed,
            "cold_start": self.cold_start,
            "p50": _percentile(calls, 0.5),
            "p95": _percentile(calls, 0.95),
            "min": calls[0] if calls else None,
            "jobs_per_second": self.succeeded / self.busy if self.busy > 0 else None,
            "peak_memory": self.peak_memory,
            "image_digest": self.digest,
            "answer": self.answer,
            "error": self.error.model_dump(mode="json", exclude_defaults=True)
            if self.error is not None
            else None,
        }


def measured_as(request: JobRequest) -> str:
    """By which name the host that runs a job measures its Space."""
    return own_id(request.repository) if request.repository is not None else request.space or ""


def show_contest(contest: Sequence[Contestant], count: int) -> None:
    """The Spaces side by side, how their answers begin, and why jobs failed."""
    # Nothing is cut on a narrow terminal: the figures are what was asked for.
    table.show(_COLUMNS, map(_cells, contest), cut=False)
    write("")
    for one in contest:
        if one.answer is not None:
            write(f"{one.name}: {one.answer}")
    for one in contest:
        if one.error is not None:
            left = count - one.succeeded - one.failed
            given_up = f"; {left} more were not tried" if left else ""
            say(f"{one.name}: {one.failed} failed{given_up}: {one.error.kind.value}: {one.error.message}")


def _cells(one: Contestant) -> tuple[str, ...]:
    row = one.row()
    rate = row["jobs_per_second"]
    start = "warm" if one.succeeded and one.cold_start is None else took(one.cold_start)
    return (
        one.name,
        f"{one.succeeded}/{one.succeeded + one.failed}",
        start,
        took(row["p50"]),
        took(row["p95"]),
        took(row["min"]),
        "-" if rate is None else f"{rate:.1f}",
        memory(one.peak_memory),
    )


def _beginning(result: JobResult) -> str:
    """The answer's first words on one line; the names of its files where it has no words."""
    text = result.output.text or ", ".join(ref.name for ref in result.output.files)
    line = " ".join(text[: 4 * _BEGINNING].split())
    return line if len(line) <= _BEGINNING else f"{line[: _BEGINNING - 3]}..."


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The least of the ordered values that `share` of them do not pass; None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
