"""A trial of a Space that cannot be begun: whose fault that is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Never, cast

import pytest

from spacedock.request import JobRequest, Tier
from spacedock.result import AnsweredBy, AnswerKind, ErrorKind, Stage
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.errors import StepError
from spacedock_worker.images.hub import HubAwayError, fetch
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.chain import StepAnswer, StepContext
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.registry.entry import SpaceEntry, valid_entry
from spacedock_worker.validation.smoke_test import Trials
from spacedock_worker.validation.verdict import Check, Mark, verdict

NOW = datetime(2025, 1, 2, 3, 4, tzinfo=UTC)


class Failing:
    """Stands in for the runner of Spaces: none is obtained."""

    def __init__(self, error: StepError) -> None:
        self._error = error

    async def run(self, *_: object) -> Never:
        raise self._error


@pytest.mark.parametrize(("kind", "known"), [(HubAwayError, False), (StepError, True)])
async def test_a_trial_that_the_hub_kept_from_beginning_is_no_verdict(kind: type, known: bool) -> None:
    error = kind(Stage.BUILD, ErrorKind.REPOSITORY_UNAVAILABLE, "it cannot be fetched")
    trial = await Trials(cast(SpaceRunner, Failing(error))).of(SpaceEntry(id="x", hub_id="m/x"), 1.0, print)
    assert (verdict(trial.checks, NOW, None, deep=True) is not None) is known


class Asked:
    """Stands in for the runner of a Space with one endpoint, and notes what it was asked."""

    def __init__(self) -> None:
        self.requests: list[JobRequest] = []

    async def run(self, entry: SpaceEntry, context: StepContext) -> StepAnswer:
        self.requests.append(context.request)
        row = {
            "endpoint": "/tell",
            "parameters": ["text"],
            "chosen": True,
            "example": {"text": "the app's own"},
        }
        data = [row] if context.request.explain else {"mood": "good"}
        by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="mood", endpoint="/tell")
        return StepAnswer(AppAnswer("/tell", "good", data), by)


async def tried(**fields: Any) -> tuple[JobRequest, Check]:
    """The trial call of an entry with these fields, and what is said of its answer."""
    runner = Asked()
    trial = await Trials(cast(SpaceRunner, runner)).of(valid_entry("mood", fields), 1.0, lambda _: None)
    return runner.requests[-1], trial.checks[-1]


async def test_an_entrys_own_trial_is_asked_in_place_of_a_sample() -> None:
    request, check = await tried(
        trial={"prompt": "I love it", "inputs": {"n": 2}, "expects": "text_and_json"}
    )
    assert (request.prompt, request.inputs, request.files) == ("I love it", {"n": 2}, ())
    assert (check.mark, check.reason) == (
        Mark.OK,
        "it answered a trial call to /tell with json and text in 0.0 s",
    )
    request, _ = await tried(input_type="image", trial={"expects": "text"})
    assert [file.name for file in request.files] == ["hello.png"]
    request, _ = await tried()
    assert request.inputs == {"text": "the app's own"}


async def test_an_answer_of_another_kind_than_the_trial_expects_is_bad() -> None:
    _, check = await tried(trial={"prompt": "x", "expects": "image"})
    assert check.mark is Mark.BAD
    assert check.advice == "Correct `trial` in its entry, or name another `endpoint`."


async def test_a_host_that_asks_the_hub_nothing_learns_nothing(tmp_path: Path) -> None:
    with pytest.raises(HubAwayError, match="asks the Hub nothing"):
        await fetch("m/x", None, tmp_path, ImageSettings(hub_offline=True))
