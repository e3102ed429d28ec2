"""Privacy mode's words: stages in ours, errors without the app's."""

from __future__ import annotations

import pytest

from spacedock.request import JobRequest
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.command import task_of
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.chain import StepAnswer, StepContext, discreet, run_chain, withheld
from spacedock_worker.jobs.plan import Plan, SpaceStep, Step
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry

MARKER = "tell-nobody"


def test_each_stage_is_told_once_and_in_our_words() -> None:
    told: list[tuple[object, ...]] = []
    tell = discreet(lambda *what: told.append(what))
    for stage in Stage:
        tell(stage, "mood", f"{MARKER} 1 %", MARKER)
        tell(stage, "mood", f"{MARKER} 2 %", MARKER)
    assert [(stage, name) for stage, name, _, _ in told] == [(stage, "mood") for stage in Stage]
    assert MARKER not in str(told)
    assert {partial for *_, partial in told} == {None}


@pytest.mark.parametrize("kind", [ErrorKind.APP_ERROR, ErrorKind.CRASHED, ErrorKind.BAD_INPUT])
@pytest.mark.parametrize("stage", [Stage.START, Stage.READY, Stage.CALL, Stage.OUTPUT])
def test_what_an_app_said_of_a_job_is_withheld(stage: Stage, kind: ErrorKind) -> None:
    said = withheld(StepError(stage, kind, f"It said: {MARKER}"))
    assert MARKER not in said
    assert said.startswith(kind.value.replace("_", " "))
    assert "withheld in privacy mode" in said


def test_what_is_no_quotation_is_told() -> None:
    ours = StepError(Stage.START, ErrorKind.START_FAILED, "the secret HF_TOKEN is missing", ours=True)
    assert withheld(ours) == "the secret HF_TOKEN is missing"
    assert withheld(StepError(Stage.PULL, ErrorKind.PULL_FAILED, "log in")) == "log in"


async def test_a_private_jobs_chain_quotes_nothing() -> None:
    told: list[tuple[object, ...]] = []

    async def take(step: Step, context: StepContext) -> StepAnswer:
        context.enter(Stage.CALL, f"working on {MARKER}", MARKER)
        raise StepError(Stage.CALL, ErrorKind.APP_ERROR, f"cannot do {MARKER}")

    chain = Plan((SpaceStep(SpaceEntry(id="mood"), "asked for"),))
    request = JobRequest(prompt=MARKER, privacy=True)
    outcome = await run_chain(chain, TakenJob("j1", request), take, lambda *what: told.append(what))
    assert len(told) == 2
    assert MARKER not in str((told, outcome))


def test_the_engine_is_not_told_private_inputs() -> None:
    call = AppCall("hi", inputs={"name": MARKER})
    assert MARKER in str(task_of(call).env)
    private = task_of(call, private=True)
    assert MARKER not in str(private.env)
    assert MARKER.encode() in private.files["inputs.json"]


@pytest.mark.parametrize(
    ("url", "model", "private"),
    [
        ("http://localhost:11434/v1", "smollm3", True),
        ("http://localhost:11434/v1", "gpt-oss:120b-cloud", False),
        ("http://localhost:11434/v1", "qwen:cloud", False),
        ("http://localhost:11434/v1", "GPT-OSS:120b-Cloud", False),
        ("http://[::1]:11434/v1", "smollm3", True),
        ("http://[::ffff:127.0.0.1]:11434/v1", "smollm3", True),
        ("https://api.example.com/v1", "smollm3", False),
        ("http://192.168.1.7:11434/v1", "smollm3", False),
        ("http://gpu-box:11434/v1", "smollm3", False),
        ("http://models.internal/v1", "smollm3", False),
        ("http://localhost.example.com/v1", "smollm3", False),
        ("http://127.0.0.1.example.com/v1", "smollm3", False),
        ("http://localhost@192.168.1.7/v1", "smollm3", False),
    ],
)
def test_only_models_that_answer_here_are_private(url: str, model: str, private: bool) -> None:
    assert ModelEndpoint(name="m", base_url=url, model=model).private is private
