"""How a batch goes, by a bar, lines or JSON, and what it came to: who answered, what failed and why."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from spacedock.batching.sources.line import few, places
from spacedock.batching.tally import Failures, Tally
from spacedock.cli.output.progress import Later, ProgressLines
from spacedock.cli.output.text import printable, say
from spacedock.cli.output.units import age

_LINE_SECONDS, _JSON_SECONDS = 30.0, 5.0
_MOST_NAMES = 3


class ProgressStyle(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    BAR = "bar"
    LINES = "lines"
    JSON = "json"
    NONE = "none"


class BatchProgress:
    """Shows how a batch goes, on standard error, until it is closed; `doing` is what its start waits for."""

    def __init__(self, style: ProgressStyle = ProgressStyle.AUTO, later: Later | None = None) -> None:
        self._console = Console(stderr=True)
        if style is ProgressStyle.AUTO:
            style = ProgressStyle.BAR if self._console.is_terminal else ProgressStyle.LINES
        self._style = style
        self._first: asyncio.Future[str] | None = None
        self.tally, self.started, self.doing = Tally(), monotonic(), ""
        self._sent_at = self.started
        columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
        self._bar = Progress(TextColumn("{task.description}"), *columns, console=self._console)
        self._task = self._bar.add_task("reading", total=None, rate="")
        self._live: Live | None = None
        self._lines: ProgressLines | None = None
        if style is ProgressStyle.BAR:
            self._live = Live(get_renderable=self._drawn, console=self._console, refresh_per_second=4)
        elif style is ProgressStyle.LINES:
            self._lines = ProgressLines(lambda: say(self.line()), later, every=_LINE_SECONDS)
        elif style is ProgressStyle.JSON:
            self._lines = ProgressLines(self._write, later, every=_JSON_SECONDS)

    @property
    def first(self) -> asyncio.Future[str]:
        """The id of the first job, once it was submitted."""
        if self._first is None:
            self._first = asyncio.get_running_loop().create_future()
        return self._first

    def note(self, job_ids: list[str]) -> None:
        """Note jobs that were submitted."""
        if not self.first.done():
            self._sent_at = monotonic()
            self.first.set_result(job_ids[0])

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        if self._lines is not None:
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar down, and say no more lines but a last one for programs; twice is safe."""
        if self._live is not None:
            self._live.stop()
        if self._lines is not None:
            self._lines.stop()
            if self._style is ProgressStyle.JSON:
                self._write()
            self._lines = None

    @property
    def _rate(self) -> float:
        return self.tally.came / max(monotonic() - self._sent_at, 1e-3)

    def line(self) -> str:
        """How far the batch is, in one line."""
        tally, seconds = self.tally, monotonic() - self.started
        if not tally.sent:
            return f"{tally.total:,} lines read, after {age(seconds)}{self._doing()}"
        left = f", about {age(tally.left / self._rate)} left" if tally.came and tally.left else ""
        done = f"{tally.total - tally.left:,} of {tally.total:,} lines done"
        return f"{done}{self._states()}, after {age(seconds)}{left or self._doing()}"

    def _doing(self) -> str:
        return f" ({printable(self.doing)})" if self.doing and not self.tally.came else ""

    def _states(self) -> str:
        tally = self.tally
        failed, degraded = tally.failed + tally.failed_before, tally.degraded + tally.already_degraded
        told = [("failed", failed), ("degraded", degraded), ("invalid", tally.invalid)]
        return "".join(f", {count:,} {name}" for name, count in told if count)

    def _write(self) -> None:
        """A line of JSON, for programs."""
        tally = self.tally
        row: dict[str, Any] = {
            "total": tally.total,
            "done": tally.total - tally.left,
            "succeeded": tally.already + tally.came - tally.failed,
            "failed": tally.failed + tally.failed_before,
            "degraded": tally.degraded + tally.already_degraded,
            "invalid": tally.invalid,
            "in_flight": tally.in_flight,
            "rate": round(self._rate, 2),
            "seconds": round(monotonic() - self.started, 1),
            "seconds_left": round(tally.left / self._rate) if tally.came else None,
            "answered_by": dict(tally.answered_by.most_common(_MOST_NAMES)),
            "last_failure": tally.last_failure or None,
        }
        sys.stderr.write(json.dumps(row) + "\n")

    def _drawn(self) -> Group:
        """The bar, and below it who answers, and the last failure."""
        tally = self.tally
        what = (
            printable(self.doing) if self.doing and not tally.came else "running" if tally.sent else "reading"
        )
        rate = f"{self._rate:.1f}/s" if tally.came else ""
        done = tally.total - tally.left if tally.sent else tally.total
        total = tally.total if tally.sent else None
        self._bar.update(self._task, description=what, total=total, completed=done, rate=rate)
        by = ", ".join(f"{name} {count:,}" for name, count in tally.answered_by.most_common(_MOST_NAMES))
        lines = [f"{tally.in_flight:,} in flight{self._states()}{f'; by {by}' if by else ''}"]
        if tally.last_failure:
            lines.append(f"last failure: {tally.last_failure}")
        width = self._console.width
        texts = [Text(printable(line)[:width], style="dim", no_wrap=True) for line in lines]
        return Group(self._bar, *texts)


_MOST_REASONS, _MOST_LINES = 10, 20


def summarise(tally: Tally, started: float, output: Path | None, errors: Path | None = None) -> None:
    """Say how a batch went."""
    seconds = monotonic() - started
    if tally.already:
        degraded = f", {tally.already_degraded:,} of them degraded" if tally.already_degraded else ""
        say(f"{tally.already:,} of {tally.total:,} lines were answered before{degraded}")
    if tally.came:
        say(
            f"{tally.came:,} done in {seconds:.1f} s ({_rate(tally.came / seconds)}): "
            f"{tally.came - tally.failed:,} succeeded, {tally.failed:,} failed, {tally.degraded:,} degraded"
        )
    for name, count in tally.answered_by.most_common(_MOST_LINES):
        say(f"  {count:,} by {name}")
    passed = sorted(tally.passed_over.items(), key=lambda item: -item[1].count)
    for (who, kind), failures in passed[:_MOST_REASONS]:
        say(f"  {failures.count:,} not by {who}: {kind.value}: {failures.example}")
    for kind_name, failures in sorted(tally.failures.items(), key=lambda item: -item[1].count):
        _say_failures(kind_name, failures)
    _say_troubles(tally, errors)
    if output is None:
        return
    say(f"results: {output}")
    if again := tally.failed + tally.failed_before:
        say(f"{again:,} failed: to try {'it' if again == 1 else 'them'} again: {_command('failed')}")


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}/s" if per_second >= 0.1 else f"{60 * per_second:.1f}/min"


def _say_failures(kind: str, failures: Failures) -> None:
    such = "" if failures.alike else "such as "
    say(f"  {failures.count:,} failed: {kind}: {such}{failures.example}")
    say(f"    {few(places(failures.numbers), _MOST_LINES)}")


def _say_troubles(tally: Tally, errors: Path | None) -> None:
    if tally.invalid:
        were = "line was" if tally.invalid == 1 else "lines were"
        say(f"{tally.invalid:,} {were} left out as invalid{f': see {errors}' if errors else ''}")
    if tally.lost:
        lost = few(places(tally.lost), _MOST_LINES)
        say(f"{lost}: somebody else read and so deleted their results. The same command asks again.")
    if tally.changed:
        changed = few(places(tally.changed), _MOST_LINES)
        say(f"{changed}: changed while the batch was read, and not sent. The same command asks them.")
    if tally.repeated_id is not None:
        first, second = tally.repeated_id
        say(
            f"lines {first} and {second} have the same id: it names the first alone, and is only a label of "
            "the other. --id-column id refuses ids that come twice."
        )


def _command(retry: str) -> str:
    """The command that was given, as it tries again what failed."""
    words: Sequence[str] = sys.argv[1:]
    if "--retry" in words:
        return shlex.join(["spacedock", *words])
    return shlex.join(["spacedock", *words, "--retry", retry])
