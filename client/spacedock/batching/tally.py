"""Counting how a batch goes: who answers, what fails and why; its size does not grow with the batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from spacedock.batching.results.line_index import ResultRow
from spacedock.result import ErrorKind, JobResult

_MOST_NUMBERS, _MOST_REASONS = 10_000, 1000


@dataclass(slots=True)
class Failures:
    """The lines that failed of one kind of error: how many, the first numbers, and why the first did."""

    count: int = 0
    example: str = ""
    alike: bool = True
    numbers: list[int] = field(default_factory=list)

    def add(self, row: ResultRow) -> None:
        """Note one more."""
        self.example = self.example or row.why
        self.count, self.alike = self.count + 1, self.alike and row.why == self.example
        if len(self.numbers) < _MOST_NUMBERS:
            self.numbers.append(row.number)


@dataclass(slots=True)
class Tally:
    """How the lines of a batch stand: `total` as far as they were read, and those that were answered before.

    `sent`, `in_flight`, `came`, `failed` and `degraded` are of this run. Somebody else took the results of
    the lines `lost`; `invalid` lines are no jobs, and `changed` ones were others at their second reading.
    `repeated_id` are two lines whose ids in a table are the same, and so are labels alone.
    """

    total: int = 0
    already: int = 0
    already_degraded: int = 0
    failed_before: int = 0
    came: int = 0
    failed: int = 0
    degraded: int = 0
    lost: list[int] = field(default_factory=list)
    invalid: int = 0
    changed: list[int] = field(default_factory=list)
    repeated_id: tuple[int, int] | None = None
    sent: int = 0
    in_flight: int = 0
    failures: dict[str, Failures] = field(default_factory=dict)
    answered_by: Counter[str] = field(default_factory=Counter)
    passed_over: dict[tuple[str, ErrorKind], Failures] = field(default_factory=dict)
    last_failure: str = ""

    @property
    def left(self) -> int:
        """How many lines have no result."""
        return self.total - self.already - self.failed_before - self.came

    @property
    def has_failed(self) -> bool:
        """Whether a line has no answer, now or before, or cannot have one."""
        return bool(self.failed or self.failed_before or self.lost or self.invalid or self.changed)

    @property
    def has_degraded(self) -> bool:
        """Whether an answer, now or before, is not of the kind that was asked for."""
        return bool(self.degraded or self.already_degraded)

    def add_before(self, row: ResultRow) -> None:
        """Note the result of an earlier run that stays."""
        self.already += row.succeeded
        self.already_degraded += row.succeeded and row.degraded
        if not row.succeeded:
            self.failed_before += 1
            self.failures.setdefault(row.kind, Failures()).add(row)

    def add(self, row: ResultRow, result: JobResult) -> None:
        """Note a result that came."""
        self.came += 1
        self.degraded += row.degraded
        if not row.succeeded:
            self.failed += 1
            self.failures.setdefault(row.kind, Failures()).add(row)
            self.last_failure = f"line {row.number}: {row.kind}: {row.why}"
        if (by := result.answered_by) is not None and len(self.answered_by) < _MOST_REASONS:
            self.answered_by[by.title] += 1
        for attempt in result.attempts:
            # What the line itself failed of is told with its reason.
            if attempt.error in (None, result.error) or attempt.error.kind is ErrorKind.SKIPPED:
                continue
            key = attempt.name, attempt.error.kind
            if key in self.passed_over or len(self.passed_over) < _MOST_REASONS:
                told = ResultRow(row.number, row.job_id, succeeded=False, why=attempt.error.message)
                self.passed_over.setdefault(key, Failures()).add(told)
