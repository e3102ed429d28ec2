"""Judging a batch's results: whether one stays out, and whether the batch is stopped."""

from __future__ import annotations

from collections.abc import Callable

from spacedock.result import AnswerKind, JobResult
from spacedock.states import JobState


class Guard:
    """Unless `allowed`, results stay out that a faulty host let no Space answer, and stop the batch.

    `told` is called with the first result that met such a fault.
    """

    def __init__(self, *, allowed: bool, told: Callable[[JobResult], None] = lambda result: None) -> None:
        self._allowed, self._told = allowed, told
        self._has_told = self.stopped = False

    def withholds(self, result: JobResult) -> bool:
        """Whether the result stays out; the first one to do so stops the batch."""
        if result.host_fault is not None and not self._has_told:
            self._told(result)
            self._has_told = True
        by = result.answered_by
        astray = result.host_fault is not None and (by is None or by.kind is not AnswerKind.SPACE)
        if astray and not self._allowed:
            self.stopped = True
        return self.stopped and (astray or result.state is JobState.CANCELLED)
