"""Stepping through a plan until somebody answers, with an attempt for every step taken or skipped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

import structlog

from spacedock.request import JobRequest
from spacedock.result import AnsweredBy, Attempt, AttemptError, ErrorKind, Stage, Timings
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import StepError
from spacedock_worker.plan import Plan, Skip, Step
from spacedock_worker.privacy import discreet, withheld

log = structlog.get_logger()


TellStep = Callable[[Stage, str, str, str | None], None]
"""Tells whoever watches: a stage of whom, a message, and the answer's text so far."""


@dataclass(slots=True)
class Trace:
    """What a step notes down as it goes: the stage that it is in, and seconds spent by kind.

    Of a Space also the digest of its image, and the most bytes that its container was seen to use.
    """

    tell: TellStep
    name: str
    stage: Stage = Stage.PLAN
    seconds: dict[str, float] = field(default_factory=dict)
    digest: str = ""
    peak_memory: int | None = None

    def enter(self, stage: Stage, message: str, partial: str | None = None) -> None:
        """Go on to a stage and tell whoever watches; `partial` is the answer's text so far."""
        self.stage = stage
        self.tell(stage, self.name, message, partial)


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


TakeStep = Callable[[Step, JobRequest, Trace], Awaitable[StepAnswer]]


async def walk(plan: Plan, request: JobRequest, take: TakeStep, tell: TellStep) -> Outcome:
    """Take the plan's steps in order until one answers. Steps after that are neither taken nor recorded.

    In privacy mode neither events nor attempts say what an app said.
    """
    progress = discreet(tell) if request.privacy else tell
    attempts: list[Attempt] = []
    for item in plan.chain:
        if isinstance(item, Skip):
            attempts.append(skipped(item))
            continue
        trace = Trace(progress, item.name)
        started = monotonic()
        try:
            answered = await take(item, request, trace)
        except StepError as error:
            said = withheld(error) if request.privacy else str(error)
            failure = AttemptError(kind=error.kind, message=said, host=error.host)
            attempts.append(_attempt(item, error.stage, started, failure))
            tell(error.stage, item.name, f"no answer ({error.kind.value.replace('_', ' ')})", None)
            log.info(
                "step.failed",
                step=item.name,
                stage=error.stage.value,
                kind=error.kind.value,
                reason=item.reason,
            )
        else:
            attempts.append(_attempt(item, trace.stage, started))
            return Outcome(tuple(attempts), Timings(**trace.seconds), answered)
    return Outcome(tuple(attempts), Timings())


def skipped(skip: Skip) -> Attempt:
    """The record of a step that was not taken."""
    error = AttemptError(kind=ErrorKind.SKIPPED, message=skip.reason)
    return Attempt(tier=skip.tier, name=skip.name, stage=Stage.PLAN, error=error)


def _attempt(step: Step, stage: Stage, started: float, error: AttemptError | None = None) -> Attempt:
    return Attempt(
        tier=step.tier,
        name=step.name,
        stage=stage,
        error=error,
        seconds=monotonic() - started,
    )
