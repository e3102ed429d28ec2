"""Apps that a slow host ended at their start get a second try, and no others."""

from __future__ import annotations

import pytest

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.space_step import ended_by_slowness

SLOW = (
    "the app ended with exit code 1. Its last words:\nValueError: When localhost is not accessible, "
    "a shareable link must be created. Please set share=True or check your proxy settings."
)
OTHER = "the app ended with exit code 1. Its last words:\nModuleNotFoundError: No module named 'x'"


@pytest.mark.parametrize(
    ("stage", "kind", "message", "seconds", "again"),
    [
        (Stage.READY, ErrorKind.CRASHED, SLOW, {"start": 0.0}, True),
        (Stage.READY, ErrorKind.CRASHED, OTHER, {"start": 0.0}, False),
        (Stage.READY, ErrorKind.OUT_OF_MEMORY, SLOW, {"start": 0.0}, False),
        (Stage.CALL, ErrorKind.CRASHED, OTHER, {"start": 4.0, "call": 1.0}, True),
        (Stage.CALL, ErrorKind.CRASHED, OTHER, {"start": 4.0, "call": 30.0}, False),
        (Stage.CALL, ErrorKind.CRASHED, OTHER, {"start": 0.0, "call": 1.0}, False),
        (Stage.CALL, ErrorKind.APP_ERROR, SLOW, {"start": 4.0, "call": 1.0}, False),
    ],
)
def test_a_slow_host_is_told_from_a_broken_app(
    stage: Stage, kind: ErrorKind, message: str, seconds: dict[str, float], again: bool
) -> None:
    assert ended_by_slowness(StepError(stage, kind, message), seconds) is again
