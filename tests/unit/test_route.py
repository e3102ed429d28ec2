"""Routing a job that names no Space: which tier, which Spaces, and why."""

from __future__ import annotations

from typing import Any

import pytest

from spacedock.files import FileRef
from spacedock.request import JobRequest, Tier
from spacedock_worker.jobs.plan import kinds_of
from spacedock_worker.jobs.routing import STEPS, Route, needs_ranking, route
from spacedock_worker.recommend.recommend import Recommendation
from spacedock_worker.recommend.tasks import analyse
from spacedock_worker.registry.entry import SpaceEntry

MEDIA = {"image": "image/png", "audio": "audio/wav", "text": "text/plain"}


def space(name: str = "s", nearness: float = 1.0, **fields: Any) -> Recommendation:
    return Recommendation(SpaceEntry(id=name), nearness, ("made for it",), nearness, name, **fields)


def routed(prompt: str, *kinds: str, ranked: tuple[Recommendation, ...] = (space(),), **fields: Any) -> Route:
    files = tuple(FileRef(name="f", sha256="0" * 64, size=1, media_type=MEDIA[kind]) for kind in kinds)
    request = JobRequest(prompt=prompt, files=files, **fields)
    return route(request, analyse(prompt, kinds_of(request)), ranked)


def reasons(way: Route) -> str:
    return "; ".join(way.reasons)


@pytest.mark.parametrize("prompt", ["Why is the sky blue?", "write a poem about rain", "hello"])
def test_simple_words_go_to_a_model(prompt: str) -> None:
    way = routed(prompt)
    assert (way.tier, way.ranked) == (Tier.FAST, ())
    assert "a language model does it" in reasons(way)


@pytest.mark.parametrize("prompt", ["Translate this to German: hello", "Is this review positive?", "tl;dr"])
def test_specialised_tasks_go_to_spaces(prompt: str) -> None:
    way = routed(prompt)
    assert way.tier is Tier.HEAVY
    assert "that is a specialised task" in reasons(way)


def test_files_that_models_do_not_take_go_to_spaces() -> None:
    way = routed("", "audio")
    assert way.tier is Tier.HEAVY
    assert "it brings audio" in reasons(way)


def test_without_a_space_that_fits_models_answer_and_the_reason_says_how_to_find_one() -> None:
    way = routed("translate this to German", ranked=())
    assert way.tier is Tier.FAST
    assert "`spacedock spaces discover text_processing`" in reasons(way)


def test_the_tier_heavy_without_a_space_leads_nowhere_and_says_so() -> None:
    way = routed("detect all objects in this image", "image", tier=Tier.HEAVY, ranked=())
    assert (way.tier, way.ranked) == (Tier.HEAVY, ())
    assert "no Space of the registry is made for object detection and takes image" in reasons(way)


def test_the_tier_heavy_asks_spaces_even_for_simple_words() -> None:
    assert routed("hello", tier=Tier.HEAVY).ranked


@pytest.mark.parametrize("tier", [Tier.FAST, Tier.DEFAULT])
def test_a_models_tier_asks_no_space(tier: Tier) -> None:
    way = routed("transcribe", "audio", tier=tier)
    assert (way.tier, way.ranked) == (tier, ())


def test_a_batch_prefers_spaces() -> None:
    assert routed("hello", batch=True).tier is Tier.HEAVY
    assert routed("hello").tier is Tier.FAST
    assert "a batch prefers Spaces" in reasons(routed("translate to Greek", batch=True))


def test_privacy_is_told() -> None:
    assert "sealed from the network" in reasons(routed("translate to Greek", privacy=True))


def test_performance_first_takes_a_model_while_no_space_is_warm() -> None:
    assert routed("translate to Greek", performance_first=True).tier is Tier.FAST
    warm = (space(state="running"),)
    assert routed("translate to Greek", performance_first=True, ranked=warm).tier is Tier.HEAVY


def test_performance_first_still_asks_a_space_for_what_no_model_gives() -> None:
    assert routed("draw a horse", performance_first=True).tier is Tier.HEAVY
    assert routed("transcribe", "audio", performance_first=True).tier is Tier.HEAVY


def test_only_the_best_few_of_the_same_task_are_tried() -> None:
    ranked = (space("a"), space("far", 0.4), space("b", 0.9), space("c"), space("d"))
    assert [one.entry.id for one in routed("translate to Greek", ranked=ranked).ranked] == ["a", "b", "c"]
    assert STEPS == 3


def test_a_space_that_is_known_not_to_work_here_is_not_tried() -> None:
    ranked = (space("a", hindrance="it needs a GPU"), space("b"))
    assert [one.entry.id for one in routed("translate to Greek", ranked=ranked).ranked] == ["b"]
    alone = ranked[:1]
    assert routed("translate to Greek", ranked=alone).tier is Tier.FAST
    assert routed("translate to Greek", ranked=alone, tier=Tier.HEAVY).ranked == alone


def test_complex_work_goes_to_a_space_that_is_made_for_it() -> None:
    steps = "First outline a plan; then compare three options, then write the pros and cons; finally decide"
    way = routed(steps)
    assert (way.tier, "it is complex" in reasons(way)) == (Tier.HEAVY, True)
    assert routed(steps, ranked=()).tier is Tier.FAST


@pytest.mark.parametrize(
    ("prompt", "fields", "needed"),
    [
        ("hello", {}, False),
        ("hello", {"batch": True}, True),
        ("hello", {"tier": Tier.HEAVY}, True),
        ("translate to Greek", {}, True),
        ("translate to Greek", {"tier": Tier.FAST}, False),
    ],
)
def test_spaces_are_ranked_only_where_that_decides(prompt: str, fields: dict[str, Any], needed: bool) -> None:
    assert needs_ranking(JobRequest(prompt=prompt, **fields), analyse(prompt, frozenset())) is needed
