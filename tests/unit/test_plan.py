"""The chain of a job: each rule by itself, and what holds for every plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock.files import FileRef
from spacedock.request import Fallback, JobRequest, Tier
from spacedock_worker.jobs.plan import ModelStep, Plan, Skip, SpaceStep, kind_of, kinds_of, plan
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.registry.entry import SpaceEntry

MEDIA = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4", "text": "text/plain"}
MEDIA |= {"file": "application/zip"}
TYPES = ["text", "image", "audio", "text_and_image", "file", "unknown"]


def model(name: str, tier: Tier, accepts: Any = ("text",), local: bool = True) -> ModelEndpoint:
    url = f"http://{'localhost' if local else 'models.example'}:1/v1"
    return ModelEndpoint(name=name, base_url=url, tier=tier, accepts=accepts)


FAST = model("fast", Tier.FAST)
LAST = model("smollm", Tier.DEFAULT)


def space(name: str = "mood", takes: str = "text", gives: str = "text", **fields: Any) -> SpaceEntry:
    return SpaceEntry(id=name, input_type=takes, output_type=gives, category="c", **fields)


def request(*kinds: str, prompt: str = "hello", **fields: Any) -> JobRequest:
    files = tuple(FileRef(name="f", sha256="0" * 64, size=1, media_type=MEDIA[kind]) for kind in kinds)
    return JobRequest(prompt=prompt, files=files, inputs={"a": 1}, **fields)


def skips(planned: Plan) -> dict[str, str]:
    return {item.name: item.reason for item in planned.chain if isinstance(item, Skip)}


def names(planned: Plan) -> list[str]:
    return [step.name for step in planned.steps]


CHOSEN = space("chosen")


def test_the_order_is_chosen_alternates_tier_one_default() -> None:
    planned = plan(request(), CHOSEN, [space("a"), space("b")], [LAST, FAST])
    assert names(planned) == ["chosen", "a", "b", "fast", "smollm"]
    assert [step.tier for step in planned.steps] == [Tier.HEAVY] * 3 + [Tier.FAST, Tier.DEFAULT]


def test_every_step_has_its_reason() -> None:
    planned = plan(request(), CHOSEN, [space("a")], [FAST, LAST])
    assert [step.reason for step in planned.steps] == [
        "the Space that was asked for",
        "a Space of the category c",
        "a Tier 1 model",
        "the system default",
    ]


def test_an_alternate_of_its_own_is_told_as_such() -> None:
    planned = plan(request(), space("chosen", alternates=("a",)), [space("a"), space("b")], [])
    assert [step.reason for step in planned.steps[1:]] == [
        "an alternate of chosen",
        "a Space of the category c",
    ]


def test_an_alternate_whose_app_does_not_take_the_call_is_skipped_with_the_reason() -> None:
    reasons = {"a": "its app does not take this call"}
    planned = plan(
        request(), CHOSEN, [space("a"), space("b")], [LAST], fits=lambda entry: reasons.get(entry.id)
    )
    assert names(planned) == ["chosen", "b", "smollm"]
    assert skips(planned)["a"] == "its app does not take this call"


def test_the_chosen_space_is_tried_whatever_is_known_of_its_app() -> None:
    assert names(plan(request(), CHOSEN, [], [], fits=lambda _: "no")) == ["chosen"]


def test_no_job_tries_more_than_six_spaces() -> None:
    others = [space(f"s{number}") for number in range(30)]
    planned = plan(request(), CHOSEN, others, [LAST])
    assert names(planned) == ["chosen", *(f"s{number}" for number in range(5)), "smollm"]


def test_spaces_that_the_job_was_routed_to_say_why() -> None:
    planned = plan(request(), None, [space("a")], [], reasons={"a": "made for it"})
    assert planned.steps[0].reason == "made for it"


def test_without_a_space_models_answer() -> None:
    assert names(plan(request(), None, [], [FAST, LAST])) == ["fast", "smollm"]


def test_without_tier_one_that_is_said() -> None:
    assert "no Tier 1 model is configured" in skips(plan(request(), None, [], [LAST]))["tier 1"]


@pytest.mark.parametrize("tier", [Tier.FAST, Tier.DEFAULT])
def test_spaces_are_skipped_where_a_models_tier_was_asked_for(tier: Tier) -> None:
    planned = plan(request(tier=tier), CHOSEN, [space("a")], [FAST, LAST])
    assert skips(planned)["chosen"] == f"the tier {tier.value} was asked for"


def test_tier_one_is_skipped_where_the_default_was_asked_for() -> None:
    assert names(plan(request(tier=Tier.DEFAULT), CHOSEN, [], [FAST, LAST])) == ["smollm"]


def test_a_space_that_is_not_available_is_skipped_even_when_chosen() -> None:
    planned = plan(request(), space("chosen", status="broken"), [], [LAST])
    assert skips(planned)["chosen"] == "its status in the registry is 'broken'"


def test_an_alternate_that_gives_something_else_is_skipped() -> None:
    planned = plan(request(), space("chosen", gives="image"), [space("a")], [])
    assert skips(planned)["a"] == "it gives text, and image was asked for"


def test_an_alternate_of_an_undescribed_space_is_not_held_to_what_it_gives() -> None:
    chosen = space("chosen", takes="unknown", gives="unknown")
    assert names(plan(request(), chosen, [space("a")], [])) == ["chosen", "a"]


def test_an_alternate_that_does_not_take_the_files_is_skipped() -> None:
    planned = plan(request("image", "audio"), None, [space("a", takes="text_and_image")], [])
    assert skips(planned)["a"] == "it does not take audio"


@pytest.mark.parametrize(("takes", "media_type"), [("json", "application/json"), ("pdf", "application/pdf")])
def test_a_file_of_the_very_type_is_taken(takes: str, media_type: str) -> None:
    file = FileRef(name="f", sha256="0" * 64, size=1, media_type=media_type)
    planned = plan(JobRequest(prompt="x", files=(file,)), None, [space("a", takes)], [])
    assert names(planned) == ["a"]
    assert skips(plan(request("audio"), None, [space("a", takes)], []))["a"] == "it does not take audio"


def test_an_alternate_that_takes_any_file_is_tried() -> None:
    assert names(plan(request("audio"), None, [space("a", takes="file")], [])) == ["a"]


def test_an_alternate_that_needs_a_file_is_skipped_without_one() -> None:
    planned = plan(request(), None, [space("a", takes="image")], [])
    assert skips(planned)["a"] == "it needs image, and the job has no file"


def test_the_chosen_space_is_tried_whatever_it_takes() -> None:
    assert names(plan(request("audio"), space("chosen", takes="image"), [], [])) == ["chosen"]


def test_a_model_that_does_not_take_the_files_is_skipped() -> None:
    assert skips(plan(request("audio"), CHOSEN, [], [LAST]))["smollm"] == "the model does not take audio"


def test_a_model_without_a_prompt_is_skipped() -> None:
    assert skips(plan(request(prompt=" "), CHOSEN, [], [LAST]))["smollm"] == "the job has no prompt"


def test_a_model_elsewhere_is_skipped_under_privacy() -> None:
    planned = plan(request(privacy=True), CHOSEN, [], [model("fast", Tier.FAST, local=False), LAST])
    assert "privacy was asked for" in skips(planned)["fast"]
    assert names(planned) == ["chosen", "smollm"]


def test_a_fallback_to_spaces_ends_before_models() -> None:
    planned = plan(request(fallback=Fallback.SPACES), CHOSEN, [space("a")], [FAST, LAST])
    assert names(planned) == ["chosen", "a"]


def test_no_fallback_leaves_the_chosen_space() -> None:
    planned = plan(request(fallback=Fallback.NONE), CHOSEN, [space("a")], [FAST, LAST])
    assert names(planned) == ["chosen"]


@pytest.mark.parametrize("models", [[], [LAST], [FAST, LAST]])
def test_no_fallback_tells_of_nobody_who_would_have_stood_in(models: list[ModelEndpoint]) -> None:
    planned = plan(request(fallback=Fallback.NONE), CHOSEN, [space("a"), space("b", takes="image")], models)
    assert [item.name for item in planned.chain] == ["chosen"]


@pytest.mark.parametrize(
    ("takes", "kinds", "inputs", "final"),
    [
        ("text", [], {}, True),
        ("unknown", [], {}, True),
        ("image", [], {}, False),
        ("text_and_image", [], {}, False),
        ("image", ["image"], {}, True),
        ("image", [], {"steps": 4}, True),
    ],
)
def test_the_named_space_is_the_judge_of_all_but_words_alone_where_it_takes_files(
    takes: str, kinds: list[str], inputs: dict[str, Any], final: bool
) -> None:
    chosen = space("chosen", takes=takes)
    asked = request(*kinds).model_copy(update={"inputs": inputs})
    first, *others = plan(asked, chosen, [space("twin", takes=takes), space("all", takes="file")], []).steps
    assert isinstance(first, SpaceStep)
    assert first.final is final
    assert not any(other.final for other in others if isinstance(other, SpaceStep))


def test_no_fallback_does_not_replace_a_chosen_space_that_is_unavailable() -> None:
    chosen = space("chosen", status="broken")
    assert names(plan(request(fallback=Fallback.NONE), chosen, [space("a")], [FAST, LAST])) == []


def test_no_fallback_in_a_category_leaves_the_first_that_fits() -> None:
    spaces = [space("a", takes="image"), space("b"), space("c")]
    assert names(plan(request(fallback=Fallback.NONE), None, spaces, [LAST])) == ["b"]


@pytest.mark.parametrize(
    ("chosen", "degraded"),
    [
        (space(), False),
        (None, False),
        (space(gives="image"), True),
        (space(takes="image"), True),
        (space(takes="text_and_image"), True),
        (space(takes="unknown", gives="unknown"), True),
    ],
)
def test_words_are_degraded_where_not_just_words_were_asked_for(
    chosen: SpaceEntry | None, degraded: bool
) -> None:
    last = plan(request(), chosen, [], [LAST]).steps[-1]
    assert isinstance(last, ModelStep)
    assert (last.degraded, last.stands_in_for) == (degraded, chosen)


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [(media, kind) for kind, media in MEDIA.items()]
    + [("application/json", "text"), ("", "file"), ("image", "image")],
)
def test_a_files_kind_is_known_by_its_media_type(media_type: str, kind: str) -> None:
    assert kind_of(media_type) == kind


spaces = st.builds(
    lambda name, takes, gives, status: space(name, takes, gives, status=status),
    st.sampled_from([f"space-{n}" for n in range(8)]),
    st.sampled_from(TYPES),
    st.sampled_from(TYPES),
    st.sampled_from(["available", "available", "unavailable"]),
)
models = st.builds(
    model,
    st.sampled_from([f"model-{n}" for n in range(5)]),
    st.sampled_from([Tier.FAST, Tier.DEFAULT]),
    st.sets(st.sampled_from(["text", "image"])),
    st.booleans(),
)
requests = st.builds(
    lambda kinds, prompt, **fields: request(*kinds, prompt=prompt, **fields),
    st.lists(st.sampled_from(list(MEDIA)), max_size=3),
    st.sampled_from(["hello", " "]),
    tier=st.sampled_from(Tier),
    fallback=st.sampled_from(Fallback),
    privacy=st.booleans(),
)
candidates = st.tuples(
    st.none() | spaces.map(lambda entry: entry.model_copy(update={"id": "chosen"})),
    st.lists(spaces, unique_by=lambda entry: entry.id, max_size=5),
    st.lists(models, unique_by=lambda option: option.name, max_size=4),
)
Candidates = tuple[SpaceEntry | None, list[SpaceEntry], list[ModelEndpoint]]


@given(requests, candidates)
def test_every_candidate_is_a_step_or_a_skip_exactly_once(asked: JobRequest, who: Candidates) -> None:
    chosen, alternates, options = who
    whole = asked.model_copy(update={"fallback": Fallback.CHAIN})
    planned = [item.name for item in plan(whole, *who).chain if item.name != "tier 1"]
    expected = [*(["chosen"] if chosen else []), *(e.id for e in alternates), *(o.name for o in options)]
    assert sorted(planned) == sorted(expected)


@given(requests, candidates)
def test_tier_fast_never_asks_a_space(asked: JobRequest, who: Candidates) -> None:
    fast = asked.model_copy(update={"tier": Tier.FAST})
    assert not any(isinstance(step, SpaceStep) for step in plan(fast, *who).steps)


@given(requests, candidates)
def test_no_fallback_leaves_one_step_at_most(asked: JobRequest, who: Candidates) -> None:
    alone = asked.model_copy(update={"fallback": Fallback.NONE})
    assert len(plan(alone, *who).steps) <= 1
    whole = plan(asked.model_copy(update={"fallback": Fallback.CHAIN}), *who)
    assert [item.name for item in plan(alone, *who).chain] == [
        item.name for item in whole.chain[: len(plan(alone, *who).chain)]
    ]


@given(requests, candidates)
def test_the_tiers_come_in_the_chains_order(asked: JobRequest, who: Candidates) -> None:
    order = [Tier.HEAVY, Tier.FAST, Tier.DEFAULT]
    tiers = [order.index(item.tier) for item in plan(asked, *who).chain]
    assert tiers == sorted(tiers)


@given(requests, candidates)
def test_no_model_is_asked_that_does_not_take_the_files(asked: JobRequest, who: Candidates) -> None:
    takes = {option.name: option.accepts for option in who[2]}
    steps = [step for step in plan(asked, *who).steps if isinstance(step, ModelStep)]
    assert all(kinds_of(asked) <= takes[step.name] for step in steps)


@given(requests, candidates)
def test_under_privacy_nothing_leaves_the_machine(asked: JobRequest, who: Candidates) -> None:
    private = asked.model_copy(update={"privacy": True})
    local = {option.name for option in who[2] if option.local}
    steps = [step for step in plan(private, *who).steps if isinstance(step, ModelStep)]
    assert {step.name for step in steps} <= local


@given(requests, candidates)
def test_every_reason_is_told(asked: JobRequest, who: Candidates) -> None:
    assert all(item.reason for item in plan(asked, *who).chain)
