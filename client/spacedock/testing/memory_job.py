"""A job in memory, and what the answer to it comes to."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from spacedock.request import JobRequest, Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
)
from spacedock.states import JobState

Given = str | Output | JobResult
Answer = Callable[[JobRequest], Given | Awaitable[Given]]


def echo(request: JobRequest) -> str:
    """The prompt as its answer."""
    return request.prompt


@dataclass(slots=True)
class MemoryJob:
    """A job in memory: its request, and its result once it has ended."""

    request: JobRequest
    batch: str | None
    submitted: float
    ended: asyncio.Future[JobResult]
    work: asyncio.Task[None] | None = None
    deleted: bool = False
    label: str = ""

    @property
    def state(self) -> JobState:
        """Where it stands."""
        if self.ended.done():
            return self.ended.result().state
        return JobState.RUNNING


async def answered(answer: Answer, request: JobRequest) -> JobResult:
    """What a job comes to; what `answer` raises is its failure."""
    try:
        given = answer(request)
        return _result_of(request, await given if inspect.isawaitable(given) else given)
    except Exception as error:  # noqa: BLE001 - what an app raises fails its job alone
        failure = AttemptError(kind=ErrorKind.APP_ERROR, message=str(error) or type(error).__name__)
        attempt = Attempt(tier=Tier.HEAVY, name=_name(request), stage=Stage.CALL, error=failure)
        return JobResult(id="", state=JobState.FAILED, attempts=(attempt,))


def _name(request: JobRequest) -> str:
    return request.space or request.category or "memory"


def _result_of(request: JobRequest, given: Given) -> JobResult:
    if isinstance(given, JobResult):
        return given
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name=_name(request))
    output = Output(text=given) if isinstance(given, str) else given
    return JobResult(id="", state=JobState.SUCCEEDED, answered_by=by, output=output)
