"""What is told of a job or a batch where no terminal is: a line from time to time, never too many."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from spacedock.batching.results.line_index import ResultRow
from spacedock.cli.batch_progress import BatchProgress, ProgressStyle
from spacedock.cli.output.progress import ProgressLines, _tell
from spacedock.client import Client
from spacedock.errors import RefusedError
from spacedock.events import Event
from spacedock.result import JobResult, Stage
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


def come(progress: BatchProgress, number: int, state: JobState = JobState.SUCCEEDED) -> None:
    progress.tally.sent += 1
    succeeded = state is JobState.SUCCEEDED
    row = ResultRow(number, "j", succeeded=succeeded, kind="" if succeeded else "crashed", why="no weights")
    progress.tally.add(row, JobResult(id="j", state=state))


def test_a_short_batch_says_nothing_on_its_way(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchProgress(later=clock.later):
        clock.until(29)
    clock.until(100)
    assert said(capsys) == []


def test_a_batch_that_is_being_read_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchProgress(later=clock.later) as progress:
        progress.tally.total = 4000
        clock.until(30)
    assert said(capsys) == ["4,000 lines read, after 0 s"]


def test_until_the_first_answer_it_is_said_what_is_done_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchProgress(later=clock.later) as progress:
        progress.tally.total = progress.tally.sent = 2
        progress.doing = "ocr: installing packages"
        clock.until(30)
        come(progress, 1)
        progress.doing = "ocr: asking"
        clock.until(60)
    first, second = said(capsys)
    assert first == "0 of 2 lines done, after 0 s (ocr: installing packages)"
    assert "ocr" not in second


def test_a_line_tells_what_is_done_what_failed_and_about_how_long_it_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with BatchProgress(later=clock.later) as progress:
        progress.tally.total = 4
        come(progress, 1)
        come(progress, 2, JobState.FAILED)
        clock.until(30)
    assert said(capsys) == ["2 of 4 lines done, 1 failed, after 0 s, about 0 s left"]


def test_programs_read_a_line_of_json_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with BatchProgress(ProgressStyle.JSON, clock.later) as progress:
        progress.tally.total = 3
        come(progress, 1)
        clock.until(5)
        come(progress, 2, JobState.FAILED)
    first, last = (json.loads(line) for line in said(capsys))
    assert (first["total"], first["done"], first["failed"]) == (3, 1, 0)
    assert (last["done"], last["failed"], last["last_failure"]) == (2, 1, "line 2: crashed: no weights")


def test_a_day_long_batch_says_under_a_hundred_lines() -> None:
    clock = Clock()
    lines: list[float] = []

    def line() -> None:
        lines.append(clock.now)

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
