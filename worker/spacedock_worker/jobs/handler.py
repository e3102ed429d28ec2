"""What one host does with a job: plan, run the chain, bound the answer, store its files."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from time import monotonic
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from spacedock._stores.payloads import Payloads, grace_of
from spacedock._wire import keys
from spacedock._wire.scripts import registered
from spacedock.errors import (
    BadRequestError,
    CategoryNotFoundError,
    FileTooLargeError,
    SpaceNotFoundError,
    WireError,
)
from spacedock.files import FileRef, Payload, check_sizes, set_apart
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, JobResult, Origin, Output, Stage
from spacedock.states import JobState
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import (
    HOST,
    HostBusyError,
    StepError,
    full_disk,
    lacks_descriptors,
    no_descriptors,
)
from spacedock_worker.jobs.answer_cache import AnswerCache
from spacedock_worker.jobs.chain import ENGINE_AWAY, Outcome, StepAnswer, StepContext, run_chain
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.plan import SpaceStep, Step
from spacedock_worker.jobs.planner import PlannedJob, Planner
from spacedock_worker.jobs.space_step import Expect, SpaceRunner
from spacedock_worker.queue.outcome import ended
from spacedock_worker.queue.patience import OUTAGE_SECONDS, through_outages
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

log = structlog.get_logger()

WAIT_SECONDS = 120.0
"""How long a step waits for room on its host, before the next one of the chain is taken."""

PAUSE_SECONDS = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

PAST_LIMIT = 1.25
"""Files of results may fill a server that is full up to so many times its `maxmemory`."""

MAX_TEXT = 2**20
"""Characters of `output.text`; what is longer is cut, and flagged (the data stay whole)."""

_VERSION = version("hf-spacedock")

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
            return result_of(job, await run_chain(planned.plan, job, run_step, emit), self._origin(request))

    def _origin(self, request: JobRequest) -> Origin:
        asked = request.digests if request.privacy else {}
        return Origin(host=HOST, spacedock=_VERSION, engine=self._engine.version, asked=asked)

    async def _run_step(
        self, planned: PlannedJob, repository: bytes | None, expect: Expect, step: Step, context: StepContext
    ) -> StepAnswer:
        """The answer of one step, its files stored. Raises StepError."""
        job, steps = context.job, planned.plan.steps
        expect(steps[steps.index(step) :])
        context.files = partial(self._files, job.request)
        cache = AnswerCache(self._redis, self._payloads, job.request)
        if job.request.cache and not (job.request.privacy or job.request.explain):
            context.recall = cache.recall
        job.serve(step.entry.id if isinstance(step, SpaceStep) else None)
        if isinstance(step, SpaceStep):
            context.repository = repository if step.entry is planned.chosen else None
            running = partial(self._spaces.run, step.entry, context)
            tell = partial(context.enter, Stage.WAIT, ENGINE_AWAY)
            going = partial(self._engine.through_restart, running, tell)
            # One that nobody else answers goes back to the queue: there it waits where any host can take it.
            again = step is steps[-1] and job.queued > WAIT_SECONDS
            answer = await once_there_is_room(going, context, 0.0 if again else WAIT_SECONDS)
        else:
            answer = await self._models.run(step, planned.models[step.name], context)
        context.at(Stage.OUTPUT)
        output = output_of(answer.answer)
        if job.request.privacy:
            answer = replace(answer, answer=apart(answer.answer, job.id))
        # An answer that is there is worth a longer wait than one that is still to be worked out.
        storing = partial(store_files, self._redis, self._payloads, answer.answer)
        await through_outages(storing, store_seconds=OUTAGE_SECONDS)
        if context.recall is not None and isinstance(step, SpaceStep):
            await cache.keep(output, answer.by)
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


def result_of(job: TakenJob, outcome: Outcome, origin: Origin) -> JobResult:
    """The job's result; queue and total times are added where it is written."""
    answered = outcome.answered
    return JobResult(
        id=job.id,
        state=JobState.SUCCEEDED if answered else JobState.FAILED,
        answered_by=answered.by if answered else None,
        degraded=answered.degraded if answered else False,
        output=_written(answered.answer) if answered else Output(),
        attempts=outcome.attempts,
        timings=outcome.timings,
        labels=job.request.labels,
        origin=origin,
    )


async def once_there_is_room(work: Callable[[], Awaitable[_T]], context: StepContext, seconds: float) -> _T:
    """What the work returns, begun again while this host has no room for it.

    Raises HostBusyError where it has none after so many seconds.
    """
    give_up = monotonic() + seconds
    while True:
        try:
            return await work()
        except HostBusyError as error:
            busy = error
        except OSError as error:
            what = f"{context.name} cannot be prepared"
            if lacks_descriptors(error):
                busy = no_descriptors(context.stage, what)
            elif error.errno in _FULL:
                busy = full_disk(context.stage, what, "the worker's files")
            else:
                raise
        if monotonic() >= give_up:
            raise busy
        log.info("step.waits_for_host", step=context.name, stage=busy.stage.value, kind=busy.kind.value)
        context.enter(Stage.WAIT, str(busy))
        await asyncio.sleep(PAUSE_SECONDS)


def output_of(answer: AppAnswer) -> Output:
    """The answer as the job's result has it.

    Raises StepError where its files are over the limits, or where it cannot be written as JSON.
    """
    try:
        check_sizes(answer.files)
    except FileTooLargeError as error:
        message = f"the app's answer is too large: {error}"
        raise StepError(Stage.OUTPUT, ErrorKind.BAD_OUTPUT, message) from error
    output = _written(answer)
    try:
        output.model_dump_json()
    except (ValueError, RecursionError) as error:
        message = f"the app's answer cannot be written as JSON ({type(error).__name__})"
        raise StepError(Stage.OUTPUT, ErrorKind.BAD_OUTPUT, message) from error
    return output


def _written(answer: AppAnswer) -> Output:
    text = answer.text
    long = text is not None and len(text) > MAX_TEXT
    return Output(
        text=text[:MAX_TEXT] if text is not None else None,
        data=answer.data,
        files=tuple(payload.ref for payload in answer.files),
        truncated=long or answer.truncated,
    )


def apart(answer: AppAnswer, job_id: str) -> AppAnswer:
    """The answer with its files in its job's vault, as privacy asks for."""
    return replace(answer, files=set_apart(answer.files, job_id))


async def store_files(redis: Redis, payloads: Payloads, answer: AppAnswer) -> None:
    """Store the answer's files, each content once, also where the server is full: no new job starts then.

    Raises redis-py's OutOfMemoryError where not even that is possible; later it may be.
    """
    try:
        await payloads.keep(answer.files)
    except OutOfMemoryError:
        script = registered(redis, "store_past", PAST_LIMIT=PAST_LIMIT)
        for payload in answer.files:
            await script(keys=[keys.payload(payload.ref.place)], args=[payload.data, grace_of(payload)])
