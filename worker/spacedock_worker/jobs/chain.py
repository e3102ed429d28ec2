"""Runs the steps of a plan until one answers, and records an attempt for each that ran or was skipped."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import NoReturn

import structlog

from spacedock.files import Payload
from spacedock.request import JobRequest
from spacedock.result import AnsweredBy, Attempt, AttemptError, ErrorKind, Stage, Timings
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import EngineAwayError, GiveBackError, HostBusyError, StepError
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.plan import ModelStep, Plan, Skip, SpaceStep, Step
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry

log = structlog.get_logger()


AWAY_SECONDS = 24 * 3600.0
"""How long after its submission a job fails that lacks only room, or the Docker Engine, on its host."""

_AWAY_REST_SECONDS, _LOOK_SECONDS = 20.0, 1.0
ENGINE_AWAY = (
    "waiting for the Docker Engine, which cannot be reached on this host. "
    "Start it, such as with `sudo systemctl start docker`"
)
_SAID_CHARS = 4000
_MEND = "an input or the endpoint that was asked for does not fit; a model knows neither"

EmitStep = Callable[[Stage, str, str, str | None], None]
"""Tells whoever watches: a stage of whom, a message, and the answer's text so far."""

Files = Callable[[], Awaitable[tuple[Payload, ...]]]
"""Gives a job's files when they are needed: a hundred jobs that wait for room would hold all of theirs."""


Recall = Callable[[SpaceEntry, Image], Awaitable["StepAnswer | None"]]


async def no_files() -> tuple[Payload, ...]:
    """The files of a job without files."""
    return ()


@dataclass(slots=True)
class StepContext:
    """One step of a job: what is asked, and what it notes down as it goes.

    That is the stage that it is in since when, and seconds spent by kind; of a Space also the digest of its
    image, and the most bytes that its container was seen to use. `repository` is the Space that the job
    brought, where this step asks that. `recall` gives what a Space's image answered to the same call before.
    """

    job: TakenJob
    emit: EmitStep
    name: str
    files: Files = no_files
    repository: bytes | None = None
    recall: Recall | None = None
    stage: Stage = Stage.PLAN
    seconds: dict[str, float] = field(default_factory=dict)
    digest: str = ""
    peak_memory: int | None = None
    waited: float = 0.0
    since: float = field(default_factory=monotonic)

    @property
    def request(self) -> JobRequest:
        """The job's request."""
        return self.job.request

    def at(self, stage: Stage) -> None:
        """Go on to a stage; `waited` grows by the seconds of one in which nothing was done."""
        now = monotonic()
        if self.stage is Stage.WAIT:
            self.waited += now - self.since
        self.stage, self.since = stage, now

    def enter(self, stage: Stage, message: str, partial: str | None = None) -> None:
        """Go on to a stage and tell whoever watches; `partial` is the answer's text so far."""
        self.at(stage)
        self.emit(stage, self.name, message, partial)


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """A step's answer and who gave it."""

    answer: AppAnswer
    by: AnsweredBy
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the chain came to: the answer, if there is one, and every attempt."""

    attempts: tuple[Attempt, ...]
    timings: Timings
    answered: StepAnswer | None = None


RunStep = Callable[[Step, StepContext], Awaitable[StepAnswer]]


async def run_chain(plan: Plan, job: TakenJob, run_step: RunStep, emit: EmitStep) -> Outcome:
    """Run the plan's steps in order until one answers. Steps after that are neither run nor recorded.

    In privacy mode neither events nor attempts say what an app said. Raises GiveBackError where a step was
    kept from its answer by trouble of ours; any other fault is only that step's failure. A request that is
    wrong in itself, as a Space says, goes to nobody whose answer would hide that.
    """
    request = job.request
    progress = discreet(emit) if request.privacy else emit
    attempts: list[Attempt] = []
    spent: Counter[str] = Counter()
    wrong, lacking = False, None
    for item in plan.chain:
        if wrong and isinstance(item, ModelStep):
            item = Skip(item.tier, item.name, _MEND)
        if isinstance(item, Skip):
            attempts.append(skipped(item))
            continue
        context = StepContext(job, progress, item.name)
        started = monotonic()
        taken = await _taken(run_step, item, context)
        if isinstance(taken, StepAnswer):
            attempts.append(_attempt(item, context, context.stage, started))
            return Outcome(tuple(attempts), _timings(context, monotonic() - started), taken)
        lacking = (context, taken) if isinstance(taken, EngineAwayError | HostBusyError) else lacking
        said = withheld(taken) if request.privacy else str(taken)[:_SAID_CHARS]
        failure = AttemptError(kind=taken.kind, message=said, host=taken.host)
        attempts.append(_attempt(item, context, taken.stage, started, failure))
        spent.update(_spent(context, taken.stage, attempts[-1].seconds))
        kind = taken.kind.value
        emit(taken.stage, item.name, f"no answer ({kind.replace('_', ' ')})", None)
        where = {"job_id": job.id, "step": item.name, "stage": taken.stage.value}
        log.info("step.failed", **where, kind=kind, reason=item.reason)
        await job.at_work(False)
        if isinstance(item, SpaceStep) and taken.stage is Stage.CALL and taken.kind is ErrorKind.BAD_INPUT:
            if item.final:
                break
            wrong = bool(request.inputs or request.endpoint)
    if lacking is not None and job.queued < AWAY_SECONDS:
        await _wait_in_queue(*lacking)
    return Outcome(tuple(attempts), Timings(**spent))


async def _wait_in_queue(context: StepContext, error: StepError) -> NoReturn:
    """Have the job wait in the queue: nobody else answers it, and another host may start its Space."""
    away = isinstance(error, EngineAwayError)
    said = ENGINE_AWAY if away else f"waiting in the queue for a host with room. {error}"
    context.emit(Stage.WAIT, context.name, said, None)
    # The next one meets the same: not all that wait are looked at at once.
    await asyncio.sleep(_LOOK_SECONDS)
    why = "the Docker Engine is away" if away else "this host has no room"
    raise GiveBackError(why, _AWAY_REST_SECONDS)


async def _taken(run_step: RunStep, step: Step, context: StepContext) -> StepAnswer | StepError:
    """The step's answer, or why there is none. The step's boundary. Raises GiveBackError."""
    try:
        return await run_step(step, context)
    except GiveBackError:
        raise
    except StepError as error:
        if error.kind is ErrorKind.CANCELLED:
            # The host stopped what the step used: that says nothing of the Space, nor of the job.
            raise GiveBackError(str(error)) from error
        return error
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        # Also what is no Exception, such as SystemExit, which would end the worker.
        log.exception("step.fault", step=step.name, stage=context.stage.value)
        message = f"a fault in Spacedock ({type(error).__name__}); the worker's log has the details"
        return StepError(context.stage, ErrorKind.INTERNAL, message, ours=True)


def _timings(context: StepContext, seconds: float) -> Timings:
    """Where the seconds of a step went; those in which nothing was done for it, it has waited."""
    return Timings(**context.seconds, waited=max(0.0, seconds - sum(context.seconds.values())))


_SPENT_ON = {
    Stage.PULL: "prepare",
    Stage.BUILD: "prepare",
    Stage.START: "start",
    Stage.READY: "start",
    Stage.CALL: "call",
    Stage.OUTPUT: "call",
}


def _spent(context: StepContext, stage: Stage, seconds: float) -> dict[str, float]:
    """Where the seconds of a step went that failed at this stage."""
    context.at(stage)
    spent = {"waited": context.waited, **context.seconds}
    last = _SPENT_ON.get(stage, "waited")
    spent[last] = spent.get(last, 0.0) + max(0.0, seconds - sum(spent.values()))
    return spent


def skipped(skip: Skip) -> Attempt:
    """The record of a step that was not taken."""
    error = AttemptError(kind=ErrorKind.SKIPPED, message=skip.reason)
    return Attempt(tier=skip.tier, name=skip.name, stage=Stage.PLAN, error=error)


def _attempt(
    step: Step, context: StepContext, stage: Stage, started: float, error: AttemptError | None = None
) -> Attempt:
    return Attempt(
        tier=step.tier,
        name=step.name,
        stage=stage,
        error=error,
        seconds=monotonic() - started,
        image_digest=context.digest or None,
    )


_STAGES = {
    Stage.PLAN: "planning",
    Stage.PULL: "getting its image",
    Stage.BUILD: "getting its image",
    Stage.WAIT: "waiting for its turn",
    Stage.START: "starting its container",
    Stage.READY: "getting its container ready",
    Stage.CALL: "asking",
    Stage.OUTPUT: "reading its answer",
}

_HINTS = {
    ErrorKind.OUT_OF_MEMORY: " Raise `memory` for this Space.",
    ErrorKind.TIMEOUT: " Give it a longer `timeout`.",
    ErrorKind.DOCKER_UNAVAILABLE: " Try `docker info`.",
}

_BEFORE_THE_APP = frozenset({Stage.PLAN, Stage.PULL, Stage.BUILD})
"""Stages in which nothing has seen the job's prompt or files."""


def discreet(emit: EmitStep) -> EmitStep:
    """Tells each stage in fixed words, once: an app's messages, and its growing text, may quote the job."""
    last: tuple[Stage, str] | None = None

    def fixed(stage: Stage, name: str, message: str, partial: str | None) -> None:
        nonlocal last
        if last != (stage, name):
            last = (stage, name)
            emit(stage, name, _STAGES[stage], None)

    return fixed


def withheld(error: StepError) -> str:
    """What an attempt may say of the error: its kind, but no words of the app or of the engine."""
    if error.ours or error.stage in _BEFORE_THE_APP:
        return str(error)
    kind = error.kind.value.replace("_", " ")
    return f"{kind}; the details are withheld in privacy mode.{_HINTS.get(error.kind, '')}"
