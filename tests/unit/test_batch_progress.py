"""What is told of a job or a batch where no terminal is: a line from time to time, never too many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from spacedock.cli.batching.progress import BatchProgress
from spacedock.cli.batching.results_file import LineName
from spacedock.cli.output.progress import ProgressLines, _tell
from spacedock.client import Client
from spacedock.errors import RefusedError
from spacedock.events import Event
from spacedock.request import Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Stage
from spacedock.states import JobState


class Clock:
    """Stands in for the event loop's timers: time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: tuple[float, Callable[[], None]] | None = None

    def later(self, seconds: float, call: Callable[[], None]) -> Clock:
        self._due = (self.now + seconds, call)
        return self

    def cancel(self) -> None:
        self._due = None

    def until(self, when: float) -> None:
        while self._due is not None and self._due[0] <= when:
            self.now, call = self._due
            call()
        self.now = when


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_short_batch_says_nothing_on_its_way(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchProgress(3, later=clock.later):
        clock.until(9)
    clock.until(100)
    assert said(capsys) == []


def test_a_batch_that_waits_for_its_first_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchProgress(40, later=clock.later):
        clock.until(10)
    assert said(capsys) == ["0 of 40 lines done, after 0 s"]


def test_until_the_first_answer_it_is_said_what_is_done_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchProgress(2, later=clock.later) as progress:
        progress.doing("ocr: installing packages")
        clock.until(10)
        progress.add(LineName(1, "one", (), None, "b"), JobResult(id="a", state=JobState.SUCCEEDED))
        progress.doing("ocr: asking")
        clock.until(20)
    first, second = said(capsys)
    assert first == "0 of 2 lines done, after 0 s (ocr: installing packages)"
    assert "ocr" not in second


def test_a_line_tells_what_is_done_what_failed_and_about_how_long_it_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with BatchProgress(4, later=clock.later) as progress:
        progress.add(LineName(1, "one", (), None, "b"), JobResult(id="a", state=JobState.SUCCEEDED))
        progress.add(LineName(2, "two", (), None, "b"), JobResult(id="b", state=JobState.FAILED))
        clock.until(10)
    assert said(capsys) == ["2 of 4 lines done, 1 failed, after 0 s, about 0 s left"]


def test_the_summary_says_why_the_space_that_was_asked_for_failed(capsys: pytest.CaptureFixture[str]) -> None:
    unbuilt = AttemptError(kind=ErrorKind.BUILD_FAILED, message="no such package")
    unready = AttemptError(kind=ErrorKind.MODEL_UNAVAILABLE, message="no llama.cpp")
    steps = (
        Attempt(tier=Tier.HEAVY, name="mood", stage=Stage.BUILD, error=unbuilt),
        Attempt(tier=Tier.DEFAULT, name="smollm", stage=Stage.READY, error=unready),
    )
    progress = BatchProgress(1)
    failed = JobResult(id="a", state=JobState.FAILED, attempts=steps, error=unready)
    progress.add(LineName(1, "one", (), None, "b"), failed)
    progress.summarise(None)
    assert said(capsys)[1:] == [
        "  1 not by mood: build_failed: no such package",
        "  1 failed: smollm: model_unavailable: no llama.cpp",
        "    line 1",
    ]


def test_a_day_long_batch_says_under_a_hundred_lines() -> None:
    clock = Clock()
    lines: list[float] = []

    def line() -> str:
        lines.append(clock.now)
        return ""

    ProgressLines(line, clock.later).start()
    clock.until(24 * 3600)
    assert lines[:3] == [10, 20, 30]
    assert 50 < len(lines) < 100


class Watched:
    """Stands in for a client whose job has one event, and then goes on for as long as `until` says."""

    def __init__(self, clock: Clock, until: float) -> None:
        self._clock, self._until = clock, until

    async def watch(self, job_id: str) -> AsyncIterator[Event]:
        self._clock.until(10)
        yield Event(job_id=job_id, stage=Stage.BUILD, name="mood", message="step 3/9: installing")
        self._clock.until(self._until)


async def test_a_job_says_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    await _tell(cast(Client, Watched(clock, until=25)), "job", clock.later)
    clock.until(1000)
    assert said(capsys) == ["waiting for a worker, after 10 s", "mood: step 3/9: installing, after 20 s"]


async def test_a_job_that_nobody_may_watch_is_waited_for_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Refused:
        async def watch(self, job_id: str) -> AsyncIterator[Event]:
            raise RefusedError("redis://h", "its user lacks a right", "See docs/redis.md")
            yield

    await _tell(cast(Client, Refused()), "job", Clock().later)
    assert said(capsys) == []
