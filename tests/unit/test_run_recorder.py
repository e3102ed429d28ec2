"""Which runs are noted, and as what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spacedock.request import JobRequest
from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.chain import StepContext
from spacedock_worker.jobs.run_recorder import RunRecorder
from spacedock_worker.profiling.profiles import FILE, ProfileStore, Run
from spacedock_worker.queue.runner import TakenJob


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProfileStore]:
    with closing(ProfileStore(tmp_path / FILE)) as store:
        store.open()
        yield store


JOB = TakenJob("j1", JobRequest(prompt="x"))


def context(**more: object) -> StepContext:
    return StepContext(JOB, lambda *_: None, "mood", **more)  # type: ignore[arg-type]


def fail(store: ProfileStore, stage: Stage, kind: ErrorKind, message: str = "no") -> None:
    with pytest.raises(StepError), RunRecorder(store, lambda: 7.0).run("mood", context()):
        raise StepError(stage, kind, message)


def test_a_run_is_noted_with_what_was_measured(store: ProfileStore) -> None:
    with RunRecorder(store, lambda: 7.0).run("mood", context()) as _:
        pass
    cold = context(digest="sha256:a", seconds={"start": 4.0, "call": 0.2}, peak_memory=5)
    with RunRecorder(store, lambda: 8.0).run("mood", cold):
        pass
    warm = context(digest="sha256:a", seconds={"start": 0.0, "call": 0.1})
    with RunRecorder(store, lambda: 9.0).run("mood", warm):
        pass
    assert store.history("mood", 2) == (
        Run("sha256:a", "mood", 8.0, True, None, 4.0, 0.2, 5),
        Run("sha256:a", "mood", 9.0, True, None, None, 0.1, None),
    )


def test_a_failure_is_noted_by_its_kind(store: ProfileStore) -> None:
    fail(store, Stage.CALL, ErrorKind.APP_ERROR)
    fail(store, Stage.CALL, ErrorKind.OUT_OF_DISK)
    assert [run.kind for run in store.history("mood", 9)] == ["app_error", "out_of_disk"]


@pytest.mark.parametrize(
    ("stage", "kind", "message"),
    [
        (Stage.PULL, ErrorKind.OUT_OF_DISK, "this host's disk has 2 GB left"),
        (Stage.START, ErrorKind.START_FAILED, "mkdir /var/lib/docker: no space left on device"),
        (Stage.START, ErrorKind.DOCKER_UNAVAILABLE, "is Docker running?"),
        (Stage.CALL, ErrorKind.BAD_INPUT, "no such input"),
        (Stage.START, ErrorKind.QUARANTINED, "resting"),
    ],
)
def test_what_is_no_fault_of_the_space_is_not_noted(store, stage, kind, message) -> None:
    fail(store, stage, kind, message)
    assert store.all() == {}


async def test_a_cancelled_run_is_not_noted(store: ProfileStore) -> None:
    with pytest.raises(asyncio.CancelledError), RunRecorder(store).run("mood", context()):
        raise asyncio.CancelledError
    assert store.all() == {}


def test_without_a_store_nothing_is_noted() -> None:
    with RunRecorder().run("mood", context()):
        pass
