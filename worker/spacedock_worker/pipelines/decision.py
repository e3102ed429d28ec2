"""What comes next in a pipeline's run, and what it came to (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacedock.pipelines.expressions import lookups
from spacedock.pipelines.model import Pipeline, Step, StepOutcome
from spacedock.pipelines.references import NestedRun, StepCalls, last_of, needs
from spacedock.pipelines.run import StepRecord, is_private, json_of
from spacedock.pipelines.values import files_in
from spacedock.request import JobRequest, Restart, Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
    Timings,
)
from spacedock.states import JobState

Records = Mapping[str, StepRecord]


def ready(pipeline: Pipeline, records: Records) -> list[str]:
    """The steps that can begin now: all that they need is there."""
    done = {name for name, one in records.items() if one.left <= 0 and not _stops(pipeline, name, one)}
    return [name for name, step in pipeline.steps.items() if name not in records and needs(step) <= done]


def failed(pipeline: Pipeline, records: Records) -> list[str]:
    """The steps without which the run cannot succeed, and that failed."""
    return [name for name in pipeline.steps if name in records and _stops(pipeline, name, records[name])]


def _stops(pipeline: Pipeline, name: str, record: StepRecord) -> bool:
    return record.failed and not pipeline.steps[name].continue_on_error


def needed_at_end(pipeline: Pipeline) -> frozenset[str]:
    """The steps whose outcomes the pipeline's outputs take."""
    named = frozenset(one.name for one in lookups(pipeline.outputs) if one.root == "steps")
    return named if pipeline.outputs else frozenset(last_of(pipeline))


def after(pipeline: Pipeline, first: str) -> set[str]:
    """That step, and all that take from it, also by others."""
    found: set[str] = {first}
    while more := {name for name, step in pipeline.steps.items() if needs(step) & found} - found:
        found |= more
    return found


def outcome_of(record: StepRecord, results: Mapping[int, JobResult | None]) -> StepOutcome:
    """What a step gave; `results` are those of its jobs, by their indices."""
    if record.plan.why:
        return StepOutcome(outputs=(None,))
    found = (results.get(index) for index in range(record.plan.total))
    outputs = tuple(one.output if one is not None and one.succeeded else None for one in found)
    return StepOutcome(outputs=outputs, fanned=record.plan.fanned)


def requests_of(run: JobRequest, pipeline: Pipeline, name: str, calls: StepCalls) -> dict[int, JobRequest]:
    """The jobs of a step by their indices. Raises BadRequestError."""
    labels = {"pipeline": pipeline.name, "step": name}
    common = {
        "labels": labels,
        "batch": run.batch,
        "priority": run.priority,
        "cache": pipeline.steps[name].cache,
    }
    return {
        index: (_nested(call) if isinstance(call, NestedRun) else call).model_copy(update=common)
        for index, call in enumerate(calls.calls)
        if call is not None
    }


def _nested(call: NestedRun) -> JobRequest:
    return JobRequest(
        pipeline=json_of(call.pipeline),
        inputs=dict(call.inputs),
        files=tuple(dict.fromkeys(files_in(call.inputs))),
        privacy=is_private(call.pipeline),
    )


def going_on(calls: Mapping[int, JobRequest], earlier: str) -> dict[int, JobRequest]:
    """The jobs of a step, of which runs of pipelines take over what those of the step `earlier` have."""
    return {
        index: call.model_copy(update={"restart": Restart(run=f"{earlier}-{index}")})
        if call.pipeline
        else call
        for index, call in calls.items()
    }


def ended_run(
    run_id: str, request: JobRequest | None, state: JobState, seconds: float, **more: Any
) -> JobResult:
    """The result of a run that took so many seconds; its request is None where that cannot be read."""
    labels = request.labels if request is not None else {}
    return JobResult(id=run_id, state=state, timings=Timings(total=max(0.0, seconds)), labels=labels, **more)


def answered(pipeline: Pipeline, output: Output, *, degraded: bool) -> dict[str, Any]:
    """What the result of a run has that succeeded."""
    by = AnsweredBy(tier=Tier.AUTO, kind=AnswerKind.PIPELINE, name=pipeline.name)
    return {"answered_by": by, "output": output, "degraded": degraded}


def fault(name: str, why: str, kind: ErrorKind = ErrorKind.BAD_INPUT, stage: Stage = Stage.PLAN) -> Attempt:
    """Why a run failed, and at which step."""
    return Attempt(tier=Tier.AUTO, name=name, stage=stage, error=AttemptError(kind=kind, message=why))


def given_up(run_id: str, target: str, why: str) -> Attempt:
    """Why a run failed that no worker can go on with."""
    what = f"a fault in Spacedock ({why}) keeps the run from going on; the worker's log has the details"
    return fault(target, f"{what}. `spacedock retry {run_id}` tries again", ErrorKind.INTERNAL)


def fault_of_step(run_id: str, name: str, step: Step, record: StepRecord, first: JobResult | None) -> Attempt:
    """Why a step failed; `first` is the result of its first job that did."""
    retry = f"`spacedock retry {run_id}` goes on from there"
    again = f"mend it, then {retry}"
    if record.plan.why:
        return fault(name, f"step '{name}' cannot run: {record.plan.why}; {again}")
    many = (
        f"{record.bad:,} of its {len(record.calls):,} jobs failed, the first " if record.plan.fanned else ""
    )
    if first is None:
        return fault(name, f"step '{name}' failed: {many}without a result; {again}", ErrorKind.INTERNAL)
    if first.state is JobState.CANCELLED:
        some = f"{record.off:,} of its {len(record.calls):,} jobs" if record.plan.fanned else "its job"
        return fault(name, f"step '{name}' failed: {some} cancelled; {retry}", ErrorKind.CANCELLED)
    kind = first.error.kind if first.error else ErrorKind.INTERNAL
    if kind is ErrorKind.TIMEOUT and step.pipeline is None:
        # A retry asks for what was asked for before, within the same time.
        what = f"give step '{name}' a longer `timeout` in the pipeline's file"
        again = f"{what}, then `spacedock pipeline run FILE --again {run_id}` goes on from there"
    stage = first.attempts[-1].stage if first.attempts else Stage.PLAN
    return fault(name, f"step '{name}' failed: {many}(job {first.id}) {first.failure}\n{again}", kind, stage)
