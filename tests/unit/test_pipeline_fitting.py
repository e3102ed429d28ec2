"""What the hosts have against a pipeline's steps. Hosts are played: apps need containers."""

from __future__ import annotations

from typing import Any, cast

import pytest

from spacedock.errors import BadRequestError, CategoryNotFoundError, SpaceNotFoundError
from spacedock.pipelines.fitting import misfits
from spacedock.pipelines.model import Pipeline, Step
from spacedock.replies.host import PlanReply
from spacedock.request import JobRequest
from spacedock.spaces import Spaces

ENTRIES = {
    "writer": {"input_type": "text", "output_type": "text"},
    "painter": {"input_type": "text", "output_type": "image"},
    "hearer": {"input_type": "audio", "output_type": "text"},
    "reader": {"input_type": "image", "output_type": "text_and_json"},
}


class Hosts:
    """Knows four Spaces; `misfit` is what every app has against its call."""

    def __init__(self, misfit: str | None = None, **step: Any) -> None:
        self.asked: list[JobRequest] = []
        self._step = {"taken": True, "kind": "space", "name": "x", "mapping": [{}], "misfit": misfit} | step
        self.spaces = cast(Spaces, self)

    async def show(self, name: str) -> dict[str, Any]:
        if name not in ENTRIES:
            raise SpaceNotFoundError(name, tuple(ENTRIES))
        return ENTRIES[name]

    async def serving(self, space: str) -> list[str]:
        return ["another host"] if space == "elsewhere" else []

    async def plan(self, request: JobRequest) -> PlanReply:
        self.asked.append(request)
        if request.category == "none":
            raise CategoryNotFoundError("none", ("text",))
        if request.space == "a/b":
            raise BadRequestError("its app cannot be used")
        return cast(PlanReply, {"steps": [self._step], "warnings": []})


async def found(hosts: Hosts, *steps: Step, **inputs: str) -> tuple[list[tuple[str, str]], list[str]]:
    pipeline = Pipeline.model_validate(
        {"name": "p", "inputs": inputs, "steps": dict(zip("abc", steps, strict=False))}
    )
    notes: list[str] = []
    return [(".".join(map(str, one.path)), one.words) for one in await misfits(hosts, pipeline, notes)], notes


@pytest.mark.parametrize(
    ("step", "path", "words"),
    [
        (Step(space="none", prompt="x"), "steps.a.space", "no Space 'none' in the registry"),
        (Step(category="none", prompt="x"), "steps.a.category", "no Space of the category 'none'"),
        (Step(space="a/b", prompt="x"), "steps.a", "its app cannot be used"),
        (
            Step(space="writer", files="${{ inputs.f }}"),
            "steps.a.space",
            "takes text alone, and the step hands over",
        ),
        (Step(space="writer", prompt="x", endpoint="/none"), "steps.a.endpoint", "no endpoint '/none'"),
        (Step(space="painter", prompt="x", inputs={"stepz": 3}), "steps.a.space", "no endpoint '/none'"),
    ],
)
async def test_what_a_host_has_against_a_step_is_told(step: Step, path: str, words: str) -> None:
    [(where, told)], notes = await found(Hosts("no endpoint '/none'"), step, f="file")
    assert (where, notes) == (path, [])
    assert words in told


async def test_files_that_a_space_does_not_give_are_told() -> None:
    reading = Step(space="reader", files="${{ steps.a.files }}")
    told, _ = await found(Hosts(), Step(space="writer", prompt="x"), reading)
    assert told == [("steps.a.space", "writer gives text alone, and files are taken from the step")]
    assert await found(Hosts(), Step(space="painter", prompt="x"), reading) == ([], [])


async def test_files_of_another_kind_than_the_next_space_takes_are_told() -> None:
    hearing = Step(space="hearer", files="${{ steps.a.files }}")
    told, _ = await found(Hosts(), Step(space="painter", prompt="x"), hearing)
    assert told == [("steps.b.space", "hearer takes audio, and step 'a' gives image")]


async def test_a_nested_pipelines_steps_are_asked_about_too() -> None:
    inner = Pipeline(name="inner", steps={"i": Step(space="none", prompt="x")})
    [(where, _)], _ = await found(Hosts(), Step(pipeline=inner))
    assert where == "steps.a.pipeline.steps.i.space"


async def test_what_cannot_be_known_is_noted_and_is_no_problem() -> None:
    asked = Step(space="writer", prompt="x"), Step(space="elsewhere", prompt="x")
    assert await found(Hosts(mapping=None), *asked) == (
        [],
        ["a: x has not run here yet: its endpoints are not known"],
    )
    away = Hosts(taken=False, reason="no model is configured")
    assert await found(away, Step(tier="fast", prompt="x")) == (
        [],
        ["a: nobody here would answer now: no model is configured"],
    )


async def test_the_call_that_is_asked_about_leaves_open_what_is_looked_up() -> None:
    hosts = Hosts()
    inputs = {"steps": 4, "style": "like ${{ inputs.t }}", "mask": "${{ inputs.f }}"}
    await found(
        hosts,
        Step(space="reader", files="${{ inputs.f }}", inputs=inputs, endpoint="/read"),
        t="text",
        f="file",
    )
    [request] = hosts.asked
    assert request.inputs == {"steps": 4, "style": None, "mask": "mask"}
    assert [one.name for one in request.files] == ["file 1", "mask"]
    assert (request.endpoint, request.prompt) == ("/read", "")
