"""What one host does with a job: find who may answer, plan, walk the chain, write down the result."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from redis.asyncio import Redis

from spacedock._wire import jobs as records
from spacedock.errors import BadRequestError, CategoryNotFoundError, SpaceNotFoundError, WireError
from spacedock.files import FileRef, Payload
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.chain import Outcome, StepAnswer, StepContext, run_chain
from spacedock_worker.jobs.host_room import once_there_is_room
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.outputs import apart, output_of, store_files
from spacedock_worker.jobs.plan import SpaceStep, Step
from spacedock_worker.jobs.planner import Planner
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.queue.patience import through_outages
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob, ended


class JobHandler:
    """Answers jobs with what this host has."""

    def __init__(
        self, redis: Redis, engine: Engine, planner: Planner, spaces: SpaceRunner, models: ModelRunner
    ) -> None:
        self._redis, self._engine, self._planner = redis, engine, planner
        self._spaces, self._models = spaces, models

    async def handle(self, job: TakenJob, tell: Emit) -> JobResult:
        """Run one job to its result.

        Never raises but for faults of our own, and GiveBackError where trouble of ours kept it from one.
        """
        request = job.request
        await job.at_work(False)
        try:
            planned = await self._planner.lay(request)
            places = [ref.place for ref in request.files]
            await through_outages(lambda: records.check_payloads(self._redis, places))
            repository = await self._repository(request.repository)
        except (SpaceNotFoundError, CategoryNotFoundError) as error:
            return ended(job.id, JobState.FAILED, ErrorKind.SPACE_NOT_FOUND, str(error), request.labels)
        except (WireError, BadRequestError) as error:
            return ended(job.id, JobState.FAILED, ErrorKind.BAD_INPUT, str(error), request.labels)

        async def load() -> tuple[Payload, ...]:
            # Only when they are needed: a hundred jobs that wait for room would hold all of theirs.
            try:
                return tuple([await self._load(ref) for ref in request.files])
            except WireError as error:
                raise StepError(Stage.CALL, ErrorKind.BAD_INPUT, str(error), ours=True) from error

        steps = planned.plan.steps

        async def take(step: Step, request: JobRequest, context: StepContext) -> StepAnswer:
            still(steps[steps.index(step) :])
            job.serve(step.entry.id if isinstance(step, SpaceStep) else None)
            if isinstance(step, SpaceStep):
                mine = repository if step.entry is planned.chosen else None
                asking = partial(self._spaces.take, step.entry, request, load, mine, context)
                restarting = partial(self._engine.through_restart, asking)
                answer = await once_there_is_room(restarting, context)
            else:
                answer = await self._models.take(
                    step, planned.models[step.name], request, await load(), context
                )
            context.at(Stage.OUTPUT)
            output_of(answer.answer)
            if request.privacy:
                answer = replace(answer, answer=apart(answer.answer, job.id))
            await through_outages(lambda: store_files(self._redis, answer.answer))
            return answer

        with self._spaces.expecting(request) as still:
            return result_of(job, await run_chain(planned.plan, request, take, tell, job.at_work, job.id))

    async def _load(self, ref: FileRef) -> Payload:
        read = partial(records.payload, self._redis, ref.place, size=ref.size)
        return Payload(ref, await through_outages(read))

    async def _repository(self, ref: FileRef | None) -> bytes | None:
        if ref is None:
            return None
        return await through_outages(partial(records.repository, self._redis, ref))


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
