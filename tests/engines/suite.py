"""A run of pytest somewhere else on this machine, and what came of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.page import put_row

ROOT = Path(__file__).parents[2]
OUT = ROOT / ".cache" / "engines"
COLUMNS = ("tried", "version", "passed", "failed", "skipped", "minutes", "date")
"""Of the tables of docs/compatibility.md: a row is what one run came to, and the next run replaces it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; `failed` names its tests. Without any test, pytest itself came to grief."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: int
    seconds: float

    @property
    def right(self) -> bool:
        """Whether there were tests, and all passed."""
        return bool(self.passed) and not self.failed

    def __add__(self, other: Outcome) -> Outcome:
        """What both runs came to, one after the other."""
        both = (self.passed + other.passed, self.failed + other.failed)
        return Outcome(*both, self.skipped + other.skipped, self.seconds + other.seconds)

    def only(self, word: str) -> Outcome:
        """What came of the tests with a word in their name."""
        passed, failed = ([name for name in names if word in name] for names in (self.passed, self.failed))
        return Outcome(tuple(passed), tuple(failed), 0, self.seconds)

    def note(self, section: str, tried: str, version: str) -> None:
        """Write a row about `version` of what was tried into a table of docs/compatibility.md."""
        counts = [str(count) for count in (len(self.passed), len(self.failed), self.skipped)]
        when = [f"{self.seconds / 60:.1f}", datetime.now(UTC).date().isoformat()]
        put_row(section, COLUMNS, [tried, version, *counts, *when])

    def __str__(self) -> str:
        ran = len(self.passed) + len(self.failed)
        return f"{len(self.passed)} of {ran}, {self.seconds:.0f} s"


def run(name: str, command: Sequence[str | Path], arguments: Sequence[str], seconds: float) -> Outcome:
    """Run `command`, which begins a pytest, with more arguments; its words go to .cache/engines/NAME.log."""
    OUT.mkdir(parents=True, exist_ok=True)
    report = OUT / f"{name}.xml"
    report.unlink(missing_ok=True)
    whole = [*command, "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    began = time.monotonic()
    with (OUT / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            whole,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # A shell's background commands ignore it, and so would the programs that tests interrupt.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            process.wait(seconds)
        except BaseException as error:
            os.killpg(process.pid, 9)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    return _read(report, time.monotonic() - began)


def _read(report: Path, seconds: float) -> Outcome:
    """What the report says; a run that was killed or could not begin leaves none."""
    if not report.exists():
        return Outcome((), ("the whole run",), 0, seconds)
    passed, failed, skipped = [], [], 0
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed.append(name)
    return Outcome(tuple(passed), tuple(dict.fromkeys(failed)), skipped, seconds)
