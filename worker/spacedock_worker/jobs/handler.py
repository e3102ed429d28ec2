"""What one host does with a job: plan, run the chain, write down the result."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock.errors import BadRequestError, CategoryNotFoundError, SpaceNotFoundError, WireError
from spacedock.files import FileRef, Payload
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import HostBusyError, StepError, full_disk
from spacedock_worker.jobs.chain import Outcome, StepAnswer, StepContext, run_chain
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.outputs import apart, output_of, store_files
from spacedock_worker.jobs.plan import SpaceStep, Step
from spacedock_worker.jobs.planner import PlannedJob, Planner
from spacedock_worker.jobs.space_step import Expect, SpaceRunner
from spacedock_worker.queue.outcome import ended
from spacedock_worker.queue.patience import through_outages
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

log = structlog.get_logger()

WAIT_SECONDS = 120.0
"""How long a step waits for it, before the next one of the chain is taken."""

PAUSE_SECONDS = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

_T = TypeVar("_T")


class JobHandler:
    """Answers jobs with what this host has."""

    def __init__(
        self,
        redis: Redis,
        payloads: Payloads,
        engine: Engine,
        planner: Planner,
        spaces: SpaceRunner,
        models: ModelRunner,
    ) -> None:
        self._redis, self._payloads, self._engine, self._planner = redis, payloads, engine, planner
        self._spaces, self._models = spaces, models

    async def handle(self, job: TakenJob, emit: Emit) -> JobResult:
        """Run one job to its result.

        Never raises but for faults of our own, and GiveBackError where trouble of ours kept it from one.
        """
        request = job.request
        await job.at_work(False)
        try:
            planned = await self._planner.plan(request)
            places = [ref.place for ref in request.files]
            await through_outages(lambda: self._payloads.check(places))
            repository = await self._repository(request.repository)
        except (SpaceNotFoundError, CategoryNotFoundError) as error:
            return ended(job.id, JobState.FAILED, ErrorKind.SPACE_NOT_FOUND, str(error), request.labels)
        except (WireError, BadRequestError) as error:
            return ended(job.id, JobState.FAILED, ErrorKind.BAD_INPUT, str(error), request.labels)
        with self._spaces.expecting(request) as expect:
            run_step = partial(self._run_step, planned, repository, expect)
            return result_of(job, await run_chain(planned.plan, job, run_step, emit))

    async def _run_step(
        self, planned: PlannedJob, repository: bytes | None, expect: Expect, step: Step, context: StepContext
    ) -> StepAnswer:
        """The answer of one step, its files stored. Raises StepError."""
        job, steps = context.job, planned.plan.steps
        expect(steps[steps.index(step) :])
        context.files = partial(self._files, job.request)
        job.serve(step.entry.id if isinstance(step, SpaceStep) else None)
        if isinstance(step, SpaceStep):
            context.repository = repository if step.entry is planned.chosen else None
            running = partial(self._spaces.run, step.entry, context)
            answer = await once_there_is_room(partial(self._engine.through_restart, running), context)
        else:
            answer = await self._models.run(step, planned.models[step.name], context)
        context.at(Stage.OUTPUT)
        output_of(answer.answer)
        if job.request.privacy:
            answer = replace(answer, answer=apart(answer.answer, job.id))
        await through_outages(lambda: store_files(self._redis, self._payloads, answer.answer))
        return answer

    async def _files(self, request: JobRequest) -> tuple[Payload, ...]:
        try:
            return tuple([await self._load(ref) for ref in request.files])
        except WireError as error:
            raise StepError(Stage.CALL, ErrorKind.BAD_INPUT, str(error), ours=True) from error

    async def _load(self, ref: FileRef) -> Payload:
        read = partial(self._payloads.read, ref.place, size=ref.size)
        return Payload(ref, await through_outages(read))

    async def _repository(self, ref: FileRef | None) -> bytes | None:
        if ref is None:
            return None
        return await through_outages(partial(self._payloads.repository, ref))


def result_of(job: TakenJob, outcome: Outcome) -> JobResult:
    """The job's result; queue and total times are added where it is written."""
    answered = outcome.answered
    return JobResult(
        id=job.id,
        state=JobState.SUCCEEDED if answered else JobState.FAILED,
        answered_by=answered.by if answered else None,
        degraded=answered.degraded if answered else False,
        output=output_of(answered.answer) if answered else Output(),
        attempts=outcome.attempts,
        timings=outcome.timings,
        labels=job.request.labels,
    )


async def once_there_is_room(work: Callable[[], Awaitable[_T]], context: StepContext) -> _T:
    """What the work returns, begun again while this host has no room for it.

    Raises HostBusyError where it has none after WAIT_SECONDS.
    """
    give_up = monotonic() + WAIT_SECONDS
    while True:
        try:
            return await work()
        except HostBusyError as error:
            busy = error
        except OSError as error:
            if error.errno not in _FULL:
                raise
            busy = full_disk(context.stage, f"{context.name} cannot be prepared")
        if monotonic() > give_up:
            raise busy
        log.info("step.waits_for_host", step=context.name, stage=busy.stage.value, kind=busy.kind.value)
        context.enter(Stage.WAIT, str(busy))
        await asyncio.sleep(PAUSE_SECONDS)
