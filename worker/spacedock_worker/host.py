"""What one host does with a job: find who may answer, plan, walk the chain, write down the result."""

from __future__ import annotations

from dataclasses import dataclass, replace

from redis.asyncio import Redis

from spacedock import records
from spacedock.errors import CategoryNotFoundError, SpaceNotFoundError, WireError
from spacedock.files import FileRef, Payload
from spacedock.request import JobRequest, Tier
from spacedock.result import ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.chain import Outcome, StepAnswer, Trace, walk
from spacedock_worker.errors import StepError
from spacedock_worker.model_step import ModelRunner, option_of
from spacedock_worker.plan import UNKNOWN, SpaceStep, Step, plan
from spacedock_worker.queue.job import TakenJob, ended
from spacedock_worker.queue.teller import Tell
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.file import Registry
from spacedock_worker.results import apart, output_of, store_files
from spacedock_worker.space_step import SpaceRunner


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who may answer: the Space that was asked for, and the others that share its category."""

    chosen: SpaceEntry | None
    alternates: tuple[SpaceEntry, ...]


class Host:
    """Answers jobs with what this host has."""

    def __init__(self, redis: Redis, registry: Registry, spaces: SpaceRunner, models: ModelRunner) -> None:
        self._redis, self._registry = redis, registry
        self._spaces, self._models = spaces, models

    async def handle(self, job: TakenJob, tell: Tell) -> JobResult:
        """Run one job to its result. Never raises but for faults of our own and lost connections."""
        request = job.request
        try:
            candidates = candidates_for(request, self._registry)
            await records.check_payloads(self._redis, [ref.place for ref in request.files])
            repository = (await self._load(request.repository)).data if request.repository else None
        except (SpaceNotFoundError, CategoryNotFoundError) as error:
            return ended(job.id, JobState.FAILED, ErrorKind.SPACE_NOT_FOUND, str(error), request.labels)
        except WireError as error:
            return ended(job.id, JobState.FAILED, ErrorKind.BAD_INPUT, str(error), request.labels)
        if request.tier is Tier.HEAVY and not (candidates.chosen or candidates.alternates):
            why = "the tier heavy needs a Space: name one, or a category that has some"
            return ended(job.id, JobState.FAILED, ErrorKind.BAD_INPUT, why, request.labels)
        endpoints = await self._models.endpoints()
        options = [option_of(endpoint) for endpoint in endpoints.values()]

        async def load() -> tuple[Payload, ...]:
            # Only when they are needed: a hundred jobs that wait for room would hold all of theirs.
            try:
                return tuple([await self._load(ref) for ref in request.files])
            except WireError as error:
                raise StepError(Stage.CALL, ErrorKind.BAD_INPUT, str(error), ours=True) from error

        async def take(step: Step, request: JobRequest, trace: Trace) -> StepAnswer:
            if isinstance(step, SpaceStep):
                mine = repository if step.entry is candidates.chosen else None
                answer = await self._spaces.take(step.entry, request, load, mine, trace)
            else:
                answer = await self._models.take(step, endpoints[step.name], request, await load(), trace)
            trace.stage = Stage.OUTPUT
            output_of(answer.answer)
            if request.privacy:
                answer = replace(answer, answer=apart(answer.answer, job.id))
            await store_files(self._redis, answer.answer)
            return answer

        laid = plan(request, candidates.chosen, candidates.alternates, options)
        return result_of(job, await walk(laid, request, take, tell))

    async def _load(self, ref: FileRef) -> Payload:
        return Payload(ref, await records.payload(self._redis, ref.place))


def candidates_for(request: JobRequest, registry: Registry) -> Candidates:
    """Look up who may answer.

    Raises SpaceNotFoundError for a name that is neither here nor a Hub id, CategoryNotFoundError for a
    category without a Space.
    """
    shelf = registry.shelf()
    if request.repository is not None:
        name = request.repository.name.removesuffix(".tar")
        return Candidates(undescribed(name), _of_category(request, registry))
    if request.space is None:
        return Candidates(None, _of_category(request, registry))
    if request.space in shelf.spaces:
        return Candidates(shelf.get(request.space), shelf.alternates(request.space))
    if "/" in request.space:
        return Candidates(undescribed(request.space, hub_id=request.space), _of_category(request, registry))
    raise SpaceNotFoundError(request.space, tuple(sorted(shelf.spaces)))


def undescribed(name: str, hub_id: str | None = None) -> SpaceEntry:
    """A Space that no registry describes: what it takes and gives shows when it runs."""
    return SpaceEntry(id=name, hub_id=hub_id, input_type=UNKNOWN, output_type=UNKNOWN)


def _of_category(request: JobRequest, registry: Registry) -> tuple[SpaceEntry, ...]:
    if not request.category:
        return ()
    found = registry.shelf().in_category(request.category)
    if not found:
        raise CategoryNotFoundError(request.category, registry.shelf().known_categories)
    return found


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
