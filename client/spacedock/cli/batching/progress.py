"""How a batch goes: a progress bar on a terminal, and the summary at its end."""

from __future__ import annotations

from collections import Counter
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

from spacedock.cli.output.text import say
from spacedock.result import JobResult


class _RateColumn(ProgressColumn):
    """Results per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class BatchProgress:
    """Counts results; `already` of `total` lines were answered by an earlier run."""

    def __init__(self, total: int, already: int) -> None:
        self.total, self.already = total, already
        self.came = self.failed = self.degraded = 0
        self._by: Counter[str] = Counter()
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
        self._task = self._progress.add_task("submitting", total=total, completed=already)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar down; twice is safe."""
        self._progress.stop()

    def submitted(self, count: int) -> None:
        """Note that `count` more lines were handed over."""
        self._progress.update(self._task, description="running")

    def add(self, result: JobResult) -> None:
        """Note a result."""
        self.came += 1
        self.failed += not result.succeeded
        self.degraded += result.degraded
        if result.answered_by is not None:
            self._by[f"{result.answered_by.name} ({result.answered_by.tier.value})"] += 1
        failed = f", {self.failed} failed" if self.failed else ""
        self._progress.update(self._task, advance=1, description=f"running{failed}")

    @property
    def left(self) -> int:
        """How many lines have no result yet."""
        return self.total - self.already - self.came

    def lose(self, count: int) -> None:
        """Note results that somebody else took."""
        self.came += count
        self.failed += count

    def summarise(self, output: Path | None) -> None:
        """Say how it went."""
        seconds = monotonic() - self._started
        if self.already:
            say(f"{self.already} of {self.total} lines were answered before")
        if self.came:
            say(
                f"{self.came} done in {seconds:.1f} s ({self.came / seconds:.1f}/s): "
                f"{self.came - self.failed} succeeded, {self.failed} failed, {self.degraded} degraded"
            )
        for name, count in self._by.most_common():
            say(f"  {count} by {name}")
        if output is not None:
            say(f"results: {output}")
