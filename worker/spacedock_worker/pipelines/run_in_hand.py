"""One look at a pipeline's run: its steps that can begin do, and it ends where nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import structlog

from spacedock._wire import wire
from spacedock.errors import BadRequestError, WireError
from spacedock.pipelines.checking import check
from spacedock.pipelines.model import Pipeline, StepOutcome
from spacedock.pipelines.references import needs, outputs_of, resolve
from spacedock.pipelines.run import (
    StepPlan,
    StepRecord,
    is_private,
    job_id_of_step,
    pipeline_of,
    plans_of,
    records_of,
)
from spacedock.request import JobRequest
from spacedock.result import Attempt
from spacedock.states import JobState
from spacedock_worker.pipelines import decision
from spacedock_worker.pipelines.run_store import LIGHT, HeldRun, RunStore

log = structlog.get_logger()

_MOST_BYTES = 64 * 2**20
"""The results of steps that are held at once: a worker that reads more of them answers nobody meanwhile."""

_ENDED = {state.value for state in JobState if state.terminal}


class _StoppedError(Exception):
    """The run does not go on: somebody has cancelled or ended it meanwhile."""


class RunInHand:
    """A run that this worker looks at."""

    def __init__(self, store: RunStore, run: HeldRun) -> None:
        self._store, self._run = store, run

    async def look(self) -> None:
        """Do all that can be done now. Raises redis-py's errors, QueueFullError; it can be done again."""
        over, sent = self._run.field("state") in _ENDED, list[int]()
        if not over:
            over, sent = await self._moved()
        if over:
            await self._store.let_go(self._run, await self._job_ids())
        await self._store.leave(self._run, sent, over=over)

    async def give_up(self, why: str) -> None:
        """End the run as failed, whatever its record holds. Raises redis-py's errors."""
        jobs = await self._store.job_ids(self._run.id)
        await self._store.stop(jobs)
        await self._conclude(
            None, JobState.FAILED, attempts=[decision.given_up(self._run.id, self._run.field("target"), why)]
        )
        await self._store.let_go(self._run, jobs)
        await self._store.leave(self._run, over=True)

    async def _job_ids(self) -> list[str]:
        """The jobs of all steps that have begun by now."""
        plans = plans_of(await self._store.row(self._run.id)).items()
        return [job_id_of_step(self._run.id, number, n) for number, plan in plans for n in range(plan.total)]

    async def _moved(self) -> tuple[bool, list[int]]:
        """Move the run on; tells whether it has ended by that, and whose jobs were all submitted."""
        request = None
        try:
            raw = self._run.row.get(b"request", b"")
            request = wire.decode_bounded(JobRequest, raw, wire.MAX_REQUEST_BYTES)
            if b"cancel" in self._run.row:
                await self._end(request, JobState.CANCELLED)
                return True, []
            reading = partial(_read, request, is_new=not plans_of(self._run.row))
            pipeline, inputs = reading() if len(raw) < LIGHT else await asyncio.to_thread(reading)
            steps = _Steps(self._store, self._run, request, pipeline, inputs)
            await steps.begin_what_can()
            if (ended := await steps.ended()) is not None:
                state, more = ended
                await self._end(request, state, **more)
            return ended is not None, steps.sent
        except _StoppedError:
            return False, []
        except (WireError, BadRequestError) as error:
            faults = [decision.fault(self._run.field("target"), str(error))]
            await self._end(request, JobState.FAILED, attempts=faults)
            return True, []

    async def _end(self, request: JobRequest | None, state: JobState, **more: Any) -> None:
        """End the run; jobs of it that have not ended are cancelled before."""
        if state is not JobState.SUCCEEDED:
            await self._store.stop(await self._job_ids())
        await self._conclude(request, state, **more)

    async def _conclude(self, request: JobRequest | None, state: JobState, **more: Any) -> None:
        submitted = float(self._run.field("submitted") or 0)
        result = decision.ended_run(self._run.id, request, state, self._run.now - submitted, **more)
        await self._store.conclude(self._run, result)
        log.info("run.ended", run=self._run.id, state=state.value, seconds=round(result.timings.total, 3))


def _read(request: JobRequest, *, is_new: bool) -> tuple[Pipeline, dict[str, Any]]:
    """The run's pipeline, and its inputs. Raises BadRequestError."""
    pipeline = pipeline_of(request.pipeline)
    if is_new:
        # Whoever can write to Redis may have left out the check.
        check(pipeline)
    if is_private(pipeline) and not request.privacy:
        raise BadRequestError("a step of it is private, so the run must be: set `privacy`")
    return pipeline, pipeline.given(request.inputs)


class _Steps:
    """The steps of a run that goes on."""

    def __init__(
        self,
        store: RunStore,
        run: HeldRun,
        request: JobRequest,
        pipeline: Pipeline,
        inputs: Mapping[str, Any],
    ) -> None:
        self._store, self._run, self._request = store, run, request
        self._pipeline, self._inputs, self._names = pipeline, inputs, [*pipeline.steps]
        self._records = records_of(run.row, self._names)
        self.sent = list[int]()

    async def begin_what_can(self) -> None:
        """Begin the steps that can, and go on with those whose jobs were not all submitted.

        Raises BadRequestError, _StoppedError.
        """
        for name in [name for name, one in self._records.items() if one.left > 0 and not one.sent]:
            await self._begin(name)
        while names := decision.ready(self._pipeline, self._records):
            for name in names:
                await self._begin(name)

    async def ended(self) -> tuple[JobState, dict[str, Any]] | None:
        """How the run ends, and what is in its result; None while a job of it has not ended.

        Raises BadRequestError.
        """
        if any(one.left > 0 for one in self._records.values()):
            return None
        if bad := decision.failed(self._pipeline, self._records):
            return JobState.FAILED, {"attempts": [await self._fault(name) for name in bad]}
        done = await self._outcomes(decision.needed_at_end(self._pipeline))
        output = await asyncio.to_thread(outputs_of, self._pipeline, self._inputs, done)
        degraded = b"degraded" in await self._store.row(self._run.id)
        return JobState.SUCCEEDED, decision.answered(self._pipeline, output, degraded=degraded)

    async def _begin(self, name: str) -> None:
        number, calls = self._names.index(name), dict[int, JobRequest]()
        try:
            plan, calls = await self._made_up(name)
        except BadRequestError as error:
            plan = StepPlan(total=0, why=str(error))
        if not await self._store.begin(self._run, name, number, plan):
            raise _StoppedError
        left = len(calls)
        if calls and (earlier := await self._earlier(name)) is not None:
            left = await self._store.adopt(self._run, number, calls, earlier)
            calls = decision.going_on(calls, "{}-{}".format(*earlier))
        if left:
            try:
                await self._store.submit(self._run, number, calls)
            except BadRequestError as error:
                raise BadRequestError(f"step '{name}' cannot run: {error}") from error
            self.sent.append(number)
        self._records[name] = StepRecord(plan, left, sent=True)

    async def _made_up(self, name: str) -> tuple[StepPlan, dict[int, JobRequest]]:
        """How the step is made up, and its jobs. Raises BadRequestError."""
        step = self._pipeline.steps[name]
        done = await self._outcomes(needs(step))

        def make_up() -> tuple[StepPlan, dict[int, JobRequest]]:
            found = resolve(step, self._inputs, done)
            calls = decision.requests_of(self._request, self._pipeline, name, found)
            skipped = frozenset(range(len(found.calls))) - calls.keys()
            return StepPlan(total=len(found.calls), fanned=found.fanned, skipped=skipped), calls

        # Many items take long.
        return make_up() if step.for_each is None else await asyncio.to_thread(make_up)

    async def _earlier(self, name: str) -> tuple[str, int] | None:
        """The step of an earlier run whose results count here, by that run and the step's number in it."""
        restart = self._request.restart
        if restart is None or (restart.step and name in decision.after(self._pipeline, restart.step)):
            return None
        names = await self._store.names_of(restart.run)
        return (restart.run, names.index(name)) if name in names else None

    async def _outcomes(self, names: Iterable[str]) -> dict[str, StepOutcome]:
        done, size = dict[str, StepOutcome](), 0
        for name in names:
            record, number = self._records[name], self._names.index(name)
            ids = {job_id_of_step(self._run.id, number, index): index for index in record.calls}
            size += await self._store.size_of([*ids]) if len(ids) > 1 else 0
            if size > _MOST_BYTES:
                raise BadRequestError(
                    f"what step '{name}' gave is too much to hand on: over {_MOST_BYTES / 2**20:g} MB. "
                    "Have it give files, or run it for fewer items"
                )
            # One that was taken over from another run has the id that it had there.
            found = zip(ids.values(), await self._store.results([*ids]), strict=True)
            done[name] = decision.outcome_of(record, dict(found))
        return done

    async def _fault(self, name: str) -> Attempt:
        """Why a step failed, in the words of its first job that did."""
        record, number = self._records[name], self._names.index(name)
        first = await self._store.results([job_id_of_step(self._run.id, number, record.first)])
        step = self._pipeline.steps[name]
        return decision.fault_of_step(self._run.id, name, step, record, first[0] if record.bad else None)
