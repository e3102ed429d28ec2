"""Who may answer a job: the Space that it names, and those that stand beside it in the registry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.registries import declare, declared

from spacedock.errors import CategoryNotFoundError, SpaceNotFoundError
from spacedock.files import payload_of
from spacedock.request import JobRequest, Tier
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.model_step import ModelRunner, instruction
from spacedock_worker.jobs.plan import UNKNOWN, plan
from spacedock_worker.jobs.planner import Planner, candidates_for
from spacedock_worker.jobs.space_spec import call_of, spec_of
from spacedock_worker.models.client import Models
from spacedock_worker.recommend.recommend import Recommender
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.image_policy import source_of

REPOSITORY = payload_of("mine.tar", b"tar", "application/x-tar").ref


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    rows = {"mood": "text", "tone": "text", "clip": "images"}
    path = declared(tmp_path / "registry.yaml", {name: {"category": its} for name, its in rows.items()})
    return Registry(path)


class SlowProfiles:
    """Profiles that take until they are let go; nobody else is ranked meanwhile."""

    def __init__(self) -> None:
        self.asked, self.go, self.was_let_go = threading.Event(), threading.Event(), False

    def all(self) -> Mapping[str, Any]:
        self.asked.set()
        self.was_let_go = self.go.wait(5)
        return {}


def found(registry: Registry, **fields: Any) -> tuple[str | None, list[str]]:
    candidates = candidates_for(JobRequest(prompt="x", **fields), registry, Recommender(registry))
    chosen = candidates.chosen.id if candidates.chosen else None
    return chosen, [entry.id for entry in candidates.alternates]


def test_a_registered_space_has_the_others_of_its_category(registry: Registry) -> None:
    assert found(registry, space="mood") == ("mood", ["tone"])


def test_a_category_alone_has_its_spaces(registry: Registry) -> None:
    assert found(registry, category="text") == (None, ["mood", "tone"])


def test_an_unknown_category_names_those_that_there_are(registry: Registry) -> None:
    with pytest.raises(CategoryNotFoundError, match="Categories: images, text"):
        found(registry, category="poems")


def test_a_job_that_names_nothing_has_no_space(registry: Registry) -> None:
    assert found(registry) == (None, [])


def test_a_space_has_its_own_alternates_first(registry: Registry) -> None:
    declare(registry, "voice", {"category": "text", "alternates": ["clip"]})
    assert found(registry, space="voice") == ("voice", ["clip", "mood", "tone"])


def test_a_task_that_names_nothing_finds_the_spaces_that_are_made_for_it(registry: Registry) -> None:
    declare(registry, "translator", {"category": "text", "description": "Translates texts"})
    asked = JobRequest(prompt="Translate this to German: good morning")
    candidates = candidates_for(asked, registry, Recommender(registry))
    assert [entry.id for entry in candidates.alternates] == ["translator"]
    assert candidates.route is not None
    assert "made for translation" in candidates.reasons["translator"]


def test_a_category_has_those_first_that_fit_and_the_others_to_be_skipped(registry: Registry) -> None:
    declare(registry, "ears", {"category": "text", "input_type": "audio"})
    declare(registry, "translator", {"category": "text", "description": "Translates texts"})
    _, others = found(registry, category="text")
    assert others == ["mood", "tone", "translator", "ears"]
    asked = JobRequest(prompt="Translate this to German: good morning", category="text")
    ranked = candidates_for(asked, registry, Recommender(registry)).alternates
    assert ranked[0].id == "translator"
    assert ranked[-1].id == "ears"


def test_a_hub_id_needs_no_entry(registry: Registry) -> None:
    chosen = candidates_for(
        JobRequest(prompt="x", space="user/space"), registry, Recommender(registry)
    ).chosen
    assert chosen is not None
    assert (chosen.id, chosen.hub_id, chosen.gives) == ("user/space", "user/space", {UNKNOWN})


def test_a_hub_id_may_have_a_category_to_fall_back_to(registry: Registry) -> None:
    assert found(registry, space="user/space", category="text") == ("user/space", ["mood", "tone"])


def test_a_directory_may_have_a_category_to_fall_back_to(registry: Registry) -> None:
    asked = JobRequest(prompt="x", repository=REPOSITORY, category="text")
    candidates = candidates_for(asked, registry, Recommender(registry))
    planned = plan(asked, candidates.chosen, candidates.alternates, [])
    assert [step.name for step in planned.steps] == ["mine", "mood", "tone"]


async def test_a_ranking_holds_no_other_job_of_the_worker_up(registry: Registry) -> None:
    profiles = SlowProfiles()
    recommender = Recommender(registry, profiles)
    recommender.search("anything", 1)
    models = ModelRunner(Models(), (), None, None)
    planner = Planner(registry, models, recommender, lambda _: lambda _: None)
    routed = asyncio.create_task(planner.plan(JobRequest(prompt="tell the mood", category="text")))
    assert await asyncio.to_thread(profiles.asked.wait, 5)
    named = asyncio.create_task(planner.plan(JobRequest(prompt="x", space="mood", tier=Tier.HEAVY)))
    await asyncio.sleep(0)
    profiles.go.set()
    assert [step.name for step in (await named).plan.steps] == ["mood", "tone"]
    assert (await routed).plan.steps
    assert profiles.was_let_go


def test_an_unknown_name_is_told_with_those_that_there_are(registry: Registry) -> None:
    with pytest.raises(SpaceNotFoundError, match=r"Known: clip, mood, tone\."):
        found(registry, space="mod")


def test_the_tar_that_a_job_brought_goes_before_the_entrys_repository() -> None:
    entry = SpaceEntry(id="a", repository="/srv/a")
    assert source_of(entry, b"tar").repository == b"tar"
    assert source_of(entry, None).repository == Path("/srv/a")


@pytest.mark.parametrize(("fields", "port"), [({}, None), ({"port": 7860}, 7860), ({"port": 80}, 80)])
def test_a_port_counts_where_the_entry_names_one(fields: dict[str, Any], port: int | None) -> None:
    assert source_of(SpaceEntry(id="a", **fields), None).port == port


def test_what_the_job_says_goes_before_what_the_entry_says() -> None:
    entry = SpaceEntry(id="a", endpoint="/entry", inputs={"steps": 4, "seed": 1})
    request = JobRequest(prompt="x", endpoint="/job", inputs={"steps": 8})
    call = call_of(entry, request, ())
    assert (call.endpoint, call.inputs) == ("/job", {"steps": 8, "seed": 1})


@pytest.mark.parametrize(
    ("entry", "task"),
    [
        (SpaceEntry(id="a", description="Tells the mood"), "Tells the mood"),
        (SpaceEntry(id="tell-mood"), "tell mood"),
    ],
)
def test_a_model_is_told_what_the_space_would_have_done(entry: SpaceEntry, task: str) -> None:
    assert f"You stand in for an application: {task}." in instruction(entry)


def test_a_directory_of_a_registered_spaces_name_is_another_space(registry: Registry) -> None:
    declare(registry, "mine", {"secrets": ["TOKEN"], "env": {"A": "b"}, "command": ["run"]})
    asked = JobRequest(prompt="x", space="mine", repository=REPOSITORY)
    own = candidates_for(asked, registry, Recommender(registry)).chosen
    assert own is not None
    assert (own.id, own.title, own.own) == (f"./mine@{REPOSITORY.sha256[:12]}", "mine", True)
    image = Image("i", "sha256:i", cache="/home/user/.cache")
    spec, theirs = spec_of(own, image), spec_of(registry.snapshot().get("mine"), image)
    assert (spec.cache, spec.secrets, spec.env, spec.command) == (None, {}, {}, None)
    assert (theirs.cache, theirs.key == spec.key) == ("/home/user/.cache", False)
    eve = SpaceEntry(id="eve", docker_image="i", env={"GRADIO_ROOT_PATH": "/x"})
    assert (eve.app("sha256:i"), SpaceEntry(id="fay").app("sha256:i")) == ("eve sha256:i", "sha256:i")
    assert own.app("sha256:i") not in {"sha256:i", registry.snapshot().get("mine").app("sha256:i")}
