"""How a batch goes: a bar on a terminal, else a line from time to time; and the summary at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from spacedock.batching.sources.line import few, places
from spacedock.cli.batching.results_file import LineName, ResultRow
from spacedock.cli.output.progress import Later, ProgressLines
from spacedock.cli.output.text import printable, say
from spacedock.cli.output.units import age
from spacedock.result import AttemptError, ErrorKind, JobResult

_MOST_REASONS, _MOST_NAMES, _LONGEST_REASON = 10, 20, 300


class _RateColumn(ProgressColumn):
    """Results per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class BatchProgress:
    """Counts results; `before` are those of an earlier run, of which the failed ones are asked again."""

    def __init__(self, total: int, before: Iterable[ResultRow] = (), later: Later | None = None) -> None:
        rows = list(before)
        self.total, self.already = total, sum(row.succeeded for row in rows)
        self._failed_before = len(rows) - self.already
        self._degraded_before = sum(row.succeeded and row.degraded for row in rows)
        self.came = self.failed = self.degraded = 0
        self._doing = ""
        self._reasons: dict[str, list[LineName]] = {}
        self._by: Counter[str] = Counter()
        self._passed_over: Counter[tuple[str, ErrorKind]] = Counter()
        self._why_passed_over: dict[tuple[str, ErrorKind], str] = {}
        self._started = monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=(console := Console(stderr=True)),
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("submitting", total=total, completed=self.already)
        self._lines = None if console.is_terminal else ProgressLines(self._line, later)

    def __enter__(self) -> Self:
        self._progress.start()
        if self._lines is not None:
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar down, and say no more lines; twice is safe."""
        self._progress.stop()
        if self._lines is not None:
            self._lines.stop()

    def submitted(self, count: int) -> None:
        """Note that `count` more lines were handed over."""
        self._progress.update(self._task, description="running")

    def doing(self, what: str) -> None:
        """Note what is being done for the first line, as long as no result has come."""
        self._doing = printable(what)
        if not self.came:
            self._progress.update(self._task, description=self._doing)

    def add(self, name: LineName, result: JobResult) -> None:
        """Note a line's result."""
        self.came += 1
        if not result.succeeded:
            self._reasons.setdefault(_reason(name, result), []).append(name)
        self.failed += not result.succeeded
        self.degraded += result.degraded
        if result.answered_by is not None:
            self._by[f"{result.answered_by.name} ({result.answered_by.tier.value})"] += 1
        for attempt in result.attempts:
            # What the line itself failed of is told with its reason.
            if attempt.error not in (None, result.error) and attempt.error.kind is not ErrorKind.SKIPPED:
                key = attempt.name, attempt.error.kind
                self._passed_over[key] += 1
                self._why_passed_over.setdefault(key, _in_a_line(name, attempt.error))
        failed = f", {self.failed} failed" if self.failed else ""
        self._progress.update(self._task, advance=1, description=f"running{failed}")

    def _line(self) -> str:
        """How far the batch is, in one line."""
        seconds = monotonic() - self._started
        failed = f", {self.failed} failed" if self.failed else ""
        left = f", about {age(seconds * self.left / self.came)} left" if self.came else ""
        if self._doing and not self.came:
            left = f" ({self._doing})"
        return f"{self.total - self.left} of {self.total} lines done{failed}, after {age(seconds)}{left}"

    @property
    def left(self) -> int:
        """How many lines have no result yet."""
        return self.total - self.already - self.came

    @property
    def has_degraded(self) -> bool:
        """Whether an answer, now or before, is not of the kind that was asked for."""
        return bool(self.degraded or self._degraded_before)

    def lose(self, count: int) -> None:
        """Note results that somebody else took."""
        self.came += count
        self.failed += count

    def summarise(self, output: Path | None) -> None:
        """Say how it went."""
        seconds = monotonic() - self._started
        if self.already:
            degraded = f", {self._degraded_before} of them degraded" if self._degraded_before else ""
            say(f"{self.already} of {self.total} lines were answered before{degraded}")
        if self._failed_before:
            say(f"{self._failed_before} failed before and were asked again")
        if self.came:
            say(
                f"{self.came} done in {seconds:.1f} s ({self.came / seconds:.1f}/s): "
                f"{self.came - self.failed} succeeded, {self.failed} failed, {self.degraded} degraded"
            )
        for name, count in self._by.most_common():
            say(f"  {count} by {name}")
        for (who, kind), count in self._passed_over.most_common(_MOST_REASONS):
            say(f"  {count} not by {who}: {kind.value}: {self._why_passed_over[who, kind]}")
        for reason, names in list(self._reasons.items())[:_MOST_REASONS]:
            say(f"  {len(names)} failed: {reason}")
            say(f"    {_listed(names)}")
        if len(self._reasons) > _MOST_REASONS:
            say(f"  and {len(self._reasons) - _MOST_REASONS} more reasons")
        if output is not None:
            again = f"; the same command asks the {self.failed} that failed again" if self.failed else ""
            say(f"results: {output}{again}")


def _reason(name: LineName, result: JobResult) -> str:
    """Why a line has no answer, in one line that others of the same kind share: apps name the file."""
    if (error := result.error) is None:
        return f"the job was {result.state.value}"
    who = next(attempt.name for attempt in result.attempts if attempt.error == error)
    return f"{who}: {error.kind.value}: {_in_a_line(name, error)}"


def _in_a_line(name: LineName, error: AttemptError) -> str:
    """What an error says, at moderate length."""
    said = error.message.strip()
    for file in name.files:
        said = said.replace(Path(file).name, "FILE")
    first, *others = said.split("\n")
    # A traceback says at its end what it is about.
    told = others[-1 if others[0].startswith("Traceback") else 0] if others and first.endswith(":") else ""
    return f"{first} {told.strip()}".rstrip()[:_LONGEST_REASON]


def _listed(names: Sequence[LineName]) -> str:
    """The files of lines, or their numbers, with those in a row as one."""
    if all(len(name.files) == 1 for name in names):
        return few([name.files[0] for name in names], _MOST_NAMES)
    return few(places(name.number for name in names), _MOST_NAMES)
