"""Walking a plan: an attempt for every step, the first answer ends it, and cancellation passes through."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from spacedock.request import JobRequest, Tier
from spacedock.result import AnsweredBy, AnswerKind, AttemptError, ErrorKind, Stage
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import EngineAwayError, GiveBackError, StepError, full_disk
from spacedock_worker.jobs import chain
from spacedock_worker.jobs.chain import Outcome, StepAnswer, StepContext, run_chain
from spacedock_worker.jobs.plan import ModelStep, Plan, Skip, SpaceStep, Step
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry

JOB = TakenJob("j1", JobRequest(prompt="my secret prompt"))
FIRST = SpaceStep(SpaceEntry(id="first"), "asked for")
SECOND = SpaceStep(SpaceEntry(id="second"), "of its category")
MODEL = ModelStep("smollm", Tier.DEFAULT, "the system default", degraded=True)
SKIP = Skip(Tier.FAST, "tier 1", "there is none")


@dataclass
class Takes:
    """Answers the steps of the given names; the others fail as told, or as crashed."""

    answering: set[str] = field(default_factory=set)
    errors: dict[str, BaseException] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)

    async def __call__(self, step: Step, context: StepContext) -> StepAnswer:
        self.taken.append(step.name)
        context.enter(Stage.CALL, "asking")
        context.seconds["call"] = 1.5
        if step.name in self.answering:
            by = AnsweredBy(tier=step.tier, kind=AnswerKind.SPACE, name=step.name)
            return StepAnswer(AppAnswer("/predict", f"by {step.name}", None), by)
        raise self.errors.get(step.name, StepError(Stage.READY, ErrorKind.CRASHED, f"{step.name} crashed"))


async def walked(takes: Takes, *chain: Step | Skip) -> Outcome:
    return await run_chain(Plan(chain), JOB, takes, lambda *told: None)


async def test_the_first_answer_ends_the_walk() -> None:
    takes = Takes({"first", "second"})
    outcome = await walked(takes, FIRST, SECOND, MODEL)
    assert takes.taken == ["first"]
    assert outcome.answered is not None
    assert outcome.answered.by.name == "first"


async def test_the_seconds_in_which_nothing_was_done_are_told_as_waiting() -> None:
    async def waits(step: Step, context: StepContext) -> StepAnswer:
        await asyncio.sleep(0.05)
        context.seconds["call"] = 0.01
        by = AnsweredBy(tier=step.tier, kind=AnswerKind.SPACE, name=step.name)
        return StepAnswer(AppAnswer("/predict", "yes", None), by)

    timings = (await run_chain(Plan((FIRST,)), JOB, waits, lambda *told: None)).timings
    assert timings.waited >= 0.035


async def test_every_step_before_the_answer_leaves_an_attempt_in_order() -> None:
    outcome = await walked(Takes({"smollm"}), FIRST, SKIP, SECOND, MODEL)
    assert [attempt.name for attempt in outcome.attempts] == ["first", "tier 1", "second", "smollm"]


async def test_a_failed_step_says_how_far_it_came_and_why() -> None:
    outcome = await walked(Takes({"second"}), FIRST, SECOND)
    failed = outcome.attempts[0]
    assert failed.error is not None
    assert (failed.stage, failed.error.kind) == (Stage.READY, ErrorKind.CRASHED)
    assert failed.error.message == "first crashed"


async def test_a_skipped_step_is_recorded_with_its_reason_and_not_taken() -> None:
    takes = Takes({"first"})
    outcome = await walked(takes, SKIP, FIRST)
    assert outcome.attempts[0].error is not None
    assert (outcome.attempts[0].error.kind, outcome.attempts[0].error.message) == (
        ErrorKind.SKIPPED,
        "there is none",
    )
    assert takes.taken == ["first"]


async def test_the_answering_attempt_has_the_stage_it_reached_and_no_error() -> None:
    attempt = (await walked(Takes({"first"}), FIRST)).attempts[-1]
    assert (attempt.stage, attempt.error) == (Stage.CALL, None)


async def test_the_timings_are_the_answering_steps() -> None:
    assert (await walked(Takes({"second"}), FIRST, SECOND)).timings.call == 1.5


async def test_of_a_chain_that_nobody_answers_the_timings_are_of_all_its_steps() -> None:
    async def fails(step: Step, context: StepContext) -> StepAnswer:
        context.enter(Stage.BUILD, "building")
        context.seconds["prepare"] = 0.01
        context.enter(Stage.WAIT, "waiting for room")
        await asyncio.sleep(0.02)
        context.enter(Stage.READY, "starting")
        await asyncio.sleep(0.03)
        raise StepError(Stage.READY, ErrorKind.CRASHED, "crashed")

    outcome = await run_chain(Plan((FIRST, SKIP, SECOND)), JOB, fails, lambda *told: None)
    timings, seconds = outcome.timings, sum(attempt.seconds for attempt in outcome.attempts)
    assert timings.prepare == 0.02
    assert timings.waited >= 0.04
    assert timings.call == 0
    assert timings.prepare + timings.waited + timings.start == pytest.approx(seconds)


async def test_a_chain_that_nobody_answers_ends_without_an_answer() -> None:
    outcome = await walked(Takes(), FIRST, SKIP, MODEL)
    assert outcome.answered is None
    assert len(outcome.attempts) == 3


async def test_an_empty_chain_ends_without_an_answer() -> None:
    assert await walked(Takes()) == Outcome((), (await walked(Takes())).timings)


WRONG = StepError(Stage.CALL, ErrorKind.BAD_INPUT, "it has no input 'id'; its inputs: text")
NAMED = SpaceStep(SpaceEntry(id="first"), "asked for", final=True)


async def test_a_request_that_is_wrong_in_itself_goes_to_nobody_else() -> None:
    takes = Takes({"second", "smollm"}, {"first": WRONG})
    outcome = await walked(takes, NAMED, SECOND, MODEL)
    assert takes.taken == ["first"]
    assert outcome.answered is None
    assert [attempt.error and attempt.error.kind for attempt in outcome.attempts] == [ErrorKind.BAD_INPUT]


@pytest.mark.parametrize("stage", [Stage.START, Stage.BUILD])
async def test_what_is_wrong_with_the_space_itself_goes_on_to_others(stage: Stage) -> None:
    takes = Takes({"second"}, {"first": StepError(stage, ErrorKind.BAD_INPUT, "its entry is wrong")})
    assert (await walked(takes, NAMED, SECOND)).answered is not None


@pytest.mark.parametrize("fields", [{"inputs": {"id": 7}}, {"endpoint": "/draw"}])
async def test_inputs_and_endpoints_that_no_space_knows_go_to_other_spaces_and_never_to_a_model(
    fields: dict[str, Any],
) -> None:
    takes = Takes({"smollm"}, {"first": WRONG, "second": WRONG})
    job = TakenJob("j1", JobRequest(prompt="x", **fields))
    outcome = await run_chain(Plan((FIRST, SECOND, MODEL)), job, takes, lambda *told: None)
    assert takes.taken == ["first", "second"]
    assert outcome.answered is None


async def test_words_that_a_space_cannot_take_go_to_a_model() -> None:
    takes = Takes({"smollm"}, {"first": WRONG})
    assert (await walked(takes, FIRST, MODEL)).answered is not None


async def test_cancellation_passes_through_and_no_other_step_is_taken() -> None:
    takes = Takes({"second"}, {"first": asyncio.CancelledError()})
    with pytest.raises(asyncio.CancelledError):
        await walked(takes, FIRST, SECOND)
    assert takes.taken == ["first"]


async def test_a_walk_that_is_cancelled_from_outside_stops_its_step() -> None:
    entered, stopped = asyncio.Event(), asyncio.Event()

    async def take(step: Step, context: StepContext) -> StepAnswer:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError("it waited without end")

    walking = asyncio.create_task(run_chain(Plan((FIRST, SECOND)), JOB, take, lambda *told: None))
    await entered.wait()
    walking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await walking
    assert stopped.is_set()


@pytest.mark.parametrize("fault", [ZeroDivisionError(), AssertionError(), OSError(), TimeoutError()])
async def test_a_fault_of_our_own_is_its_steps_failure_and_the_chain_goes_on(fault: Exception) -> None:
    with capture_logs() as logs:
        outcome = await walked(Takes({"second"}, {"first": fault}), FIRST, SECOND)
    assert outcome.answered is not None
    assert outcome.answered.by.name == "second"
    error = outcome.attempts[0].error
    assert error is not None
    assert (error.kind, type(fault).__name__ in error.message) == (ErrorKind.INTERNAL, True)
    [entry] = [entry for entry in logs if entry["event"] == "step.fault"]
    assert entry["exc_info"]


@pytest.mark.parametrize(
    "trouble",
    [GiveBackError("Redis was away"), StepError(Stage.START, ErrorKind.CANCELLED, "the worker is stopping")],
)
async def test_trouble_that_is_ours_takes_no_further_step(trouble: Exception) -> None:
    takes = Takes({"second"}, {"first": trouble})
    with pytest.raises(GiveBackError):
        await walked(takes, FIRST, SECOND)
    assert takes.taken == ["first"]


async def test_a_job_that_only_the_engine_keeps_from_an_answer_waits_in_the_queue_for_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain, "_LOOK_SECONDS", 0.0)
    away = EngineAwayError(StepError(Stage.START, ErrorKind.DOCKER_UNAVAILABLE, "no answer", host=True))
    takes, told = Takes({MODEL.name}, {"first": away}), list[str]()
    with pytest.raises(GiveBackError):
        await run_chain(Plan((FIRST, SECOND)), JOB, takes, lambda *what: told.append(what[2]))
    assert "waiting for the Docker Engine" in told[-1]
    assert (await walked(takes, FIRST, MODEL)).answered is not None
    old = replace(JOB, queued=chain.AWAY_SECONDS)
    outcome = await run_chain(Plan((FIRST,)), old, takes, lambda *what: None)
    assert outcome.attempts[0].error == AttemptError(
        kind=ErrorKind.DOCKER_UNAVAILABLE, message="no answer", host=True
    )


async def test_a_job_that_only_room_keeps_from_an_answer_waits_in_the_queue_for_a_host_that_has_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain, "_LOOK_SECONDS", 0.0)
    takes, told = Takes({MODEL.name}, {"first": full_disk(Stage.START, "it cannot start")}), list[str]()
    with pytest.raises(GiveBackError, match="no room"):
        await run_chain(Plan((FIRST, SECOND)), JOB, takes, lambda *what: told.append(what[2]))
    assert "waiting in the queue for a host with room. it cannot start: the disk" in told[-1]
    assert (await walked(takes, FIRST, MODEL)).answered is not None
    outcome = await run_chain(
        Plan((FIRST,)), replace(JOB, queued=chain.AWAY_SECONDS), takes, lambda *what: None
    )
    assert outcome.attempts[0].error is not None
    assert outcome.attempts[0].error.kind is ErrorKind.OUT_OF_DISK


async def test_a_job_is_not_at_work_between_two_steps() -> None:
    noted: list[bool] = []

    async def note(executed: bool) -> None:
        noted.append(executed)

    await run_chain(Plan((FIRST, SECOND)), replace(JOB, at_work=note), Takes({"second"}), lambda *told: None)
    assert noted == [False]


async def test_progress_is_told_under_the_name_of_its_step() -> None:
    told: list[tuple[Stage, str, str, str | None]] = []
    await run_chain(Plan((FIRST, SECOND)), JOB, Takes({"second"}), lambda *what: told.append(what))
    asked = [(stage, name) for stage, name, message, _ in told if message == "asking"]
    assert asked == [(Stage.CALL, "first"), (Stage.CALL, "second")]


async def test_progress_holds_no_prompt() -> None:
    told: list[tuple[Stage, str, str, str | None]] = []
    await run_chain(Plan((FIRST, SECOND)), JOB, Takes({"second"}), lambda *what: told.append(what))
    assert "secret" not in str(told)


async def test_the_log_of_a_failed_step_holds_no_prompt() -> None:
    with capture_logs() as logs:
        await walked(Takes({"second"}), FIRST, SECOND)
    assert [log["event"] for log in logs] == ["step.failed"]
    assert (logs[0]["job_id"], logs[0]["kind"]) == ("j1", "crashed")
    assert "secret" not in str(logs)


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), BaseExceptionGroup("x", [SystemExit()])]
)
async def test_what_is_no_exception_is_its_steps_failure_too(raised: BaseException) -> None:
    outcome = await walked(Takes({"second"}, {"first": raised}), FIRST, SECOND)
    assert outcome.attempts[0].error is not None
    assert outcome.attempts[0].error.kind is ErrorKind.INTERNAL
    assert type(raised).__name__ in outcome.attempts[0].error.message
    assert outcome.answered is not None


async def test_what_a_step_says_of_its_failure_is_bounded() -> None:
    long = StepError(Stage.CALL, ErrorKind.APP_ERROR, "\ud800" * 10**6)
    outcome = await walked(Takes({"second"}, {"first": long}), FIRST, SECOND)
    assert outcome.attempts[0].error is not None
    assert len(outcome.attempts[0].error.message) == 4000
