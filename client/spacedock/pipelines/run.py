"""How a pipeline's run stands: read from its record, which the scripts write (docs/decisions/0044)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock._wire.jobs import pipeline_in, status_of
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.events import JobStatus
from spacedock.pipelines.model import Pipeline
from spacedock.request import JobRequest
from spacedock.states import JobState

Row = Mapping[bytes, bytes]


class StepPlan(BaseModel):
    """How a step is made up, once what it needs is there: its calls, and which of them are `skipped`.

    `why` says what kept it from being made up: it failed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    total: int
    fanned: bool = False
    skipped: frozenset[int] = frozenset()
    why: str = ""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What a run's record says of a step that has begun: `left` jobs have not ended, `bad` gave no answer.

    `off` of these were cancelled; `first` is the index of the first without an answer; `sent` says that all
    jobs were submitted.
    """

    plan: StepPlan
    left: int
    bad: int = 0
    off: int = 0
    first: int = 0
    sent: bool = False

    @property
    def failed(self) -> bool:
        """Whether it has ended without all that it should give."""
        return self.left <= 0 and (self.bad > 0 or bool(self.plan.why))

    @property
    def calls(self) -> list[int]:
        """The indices of its jobs."""
        return [index for index in range(self.plan.total) if index not in self.plan.skipped]


class StepState(StrEnum):
    """Where a step of a run stands.

    `cancelled` is one whose jobs did not fail, but were cancelled, or that a cancelled run did not begin;
    `blocked` is one that comes after a failed one.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    BLOCKED = "blocked"


class RunStep(BaseModel):
    """A step of a run: whom it asks (`target`), and how many of its `total` calls have `ended`.

    So many of these `failed` or were `cancelled`. The job of a call is `RUN-NUMBER-INDEX`, with the run's id
    and the call's index; `message` says why the step could not be made up.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    number: int
    target: str
    state: StepState
    total: int = 0
    ended: int = 0
    failed: int = 0
    cancelled: int = 0
    message: str = ""

    @property
    def told(self) -> str:
        """How far it is, for people: "" where it has one call."""
        if self.total == 0 and self.state is StepState.SUCCEEDED:
            return "nothing to do"
        failed = f", {self.failed:,} failed" if self.failed else ""
        off = f", {self.cancelled:,} cancelled" if self.cancelled else ""
        return f"{self.ended:,} of {self.total:,}{failed}{off}" if self.total > 1 else ""


class PipelineRun(JobStatus):
    """A run of a pipeline: a job whose steps are jobs of their own."""

    pipeline: str
    steps: tuple[RunStep, ...]


def job_id_of_step(run_id: str, number: int, index: int) -> str:
    """The id of a step's job."""
    return f"{run_id}-{number}-{index}"


def pipeline_of(raw: Any) -> Pipeline:
    """A pipeline from its JSON. Raises BadRequestError."""
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        raise BadRequestError(f"the pipeline cannot be read: {wire.describe(error)}") from None


def json_of(pipeline: Pipeline) -> dict[str, Any]:
    """The pipeline as JSON, as `pipeline_of` takes it."""
    return pipeline.model_dump(mode="json", exclude_unset=True)


def is_private(pipeline: Pipeline) -> bool:
    """Whether a step is private: then so is the record of a run, which has all inputs."""
    return any(
        step.privacy or (step.pipeline is not None and is_private(step.pipeline))
        for step in pipeline.steps.values()
    )


def plans_of(row: Row) -> dict[int, StepPlan]:
    """The plans of the steps that have begun, by their numbers. Raises WireError."""
    found = {name.removeprefix(b"step "): raw for name, raw in row.items() if name.startswith(b"step ")}
    return {int(number): wire.decode(StepPlan, raw) for number, raw in found.items()}


def records_of(row: Row, names: Sequence[str]) -> dict[str, StepRecord]:
    """The steps that have begun, by their names; `names` are the pipeline's. Raises WireError."""
    found = {}
    for number, plan in plans_of(row).items():
        found[names[number]] = StepRecord(
            plan,
            left=_number(row.get(b"left %d" % number)),
            bad=_number(row.get(b"bad %d" % number)),
            off=_number(row.get(b"off %d" % number)),
            first=_number(row.get(b"first %d" % number)),
            sent=b"sent %d" % number in row,
        )
    return found


def _number(raw: bytes | None) -> int:
    return int(raw) if raw and raw.lstrip(b"-").isdigit() else 0


async def read(redis: Redis, run_id: str) -> PipelineRun:
    """How the run stands; the steps of a private one are not told once it has ended.

    Raises JobNotFoundError, BadRequestError where it is no pipeline's run.
    """
    row: Row = await answer(redis.hgetall(keys.job(run_id)))
    if b"state" not in row:
        raise JobNotFoundError(run_id)
    told = status_of(run_id, row[b"state"], row.get(b"submitted"), row.get(b"message"), row.get(b"deleted"))
    name, base = pipeline_in(row.get(b"target")), told.model_dump(exclude={"pipeline"})
    if b"deleted" not in row and name is None:
        raise BadRequestError(f"job {run_id} is no run of a pipeline: see `spacedock status {run_id}`")
    if b"request" not in row:
        return PipelineRun(**base, pipeline=name or "", steps=())
    pipeline = await asyncio.to_thread(_pipeline_in, row[b"request"])
    records = records_of(row, [*pipeline.steps])
    steps = tuple(
        _step(pipeline, name, number, records.get(name), told.state)
        for number, name in enumerate(pipeline.steps)
    )
    return PipelineRun(**base, pipeline=pipeline.name, steps=steps)


def _pipeline_in(raw: bytes) -> Pipeline:
    return pipeline_of(wire.decode_bounded(JobRequest, raw, wire.MAX_REQUEST_BYTES).pipeline)


def _step(pipeline: Pipeline, name: str, number: int, record: StepRecord | None, of_run: JobState) -> RunStep:
    target, state = pipeline.steps[name].target, _state_of(record, of_run)
    if record is None:
        return RunStep(name=name, number=number, target=target, state=state)
    calls, left = len(record.calls), max(0, record.left)
    # What had not ended when the run did is being stopped.
    stopped = left if of_run.terminal else 0
    return RunStep(
        name=name,
        number=number,
        target=target,
        state=state,
        total=calls,
        ended=calls - left + stopped,
        failed=record.bad - record.off,
        cancelled=record.off + stopped,
        message=record.plan.why,
    )


def _state_of(record: StepRecord | None, of_run: JobState) -> StepState:
    """Where a step with that record stands, in a run that is in that state."""
    if record is None:
        if of_run is JobState.CANCELLED:
            return StepState.CANCELLED
        return StepState.BLOCKED if of_run.terminal else StepState.WAITING
    if record.left > 0 and not of_run.terminal:
        return StepState.RUNNING
    if record.plan.why or record.bad > record.off:
        return StepState.FAILED
    if record.left > 0 or record.off:
        return StepState.CANCELLED
    return StepState.SUCCEEDED if record.calls or record.plan.fanned else StepState.SKIPPED
