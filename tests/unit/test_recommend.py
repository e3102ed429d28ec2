"""Recommending Spaces: what fits, in which order, and why."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from spacedock_worker.recommend.recommend import Recommendation, Recommender
from spacedock_worker.recommend.tasks import analyse
from spacedock_worker.registry.entry import SpaceEntry, Verdict
from spacedock_worker.registry.snapshot import Snapshot

AUDIO = frozenset({"audio"})
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Held:
    """A registry, profiles."""

    spaces: Mapping[str, SpaceEntry]
    measured: Mapping[str, Any] | None = None

    def snapshot(self) -> Snapshot:
        return Snapshot(self.spaces, {}) if not hasattr(self, "_snapshot") else self._snapshot

    def __post_init__(self) -> None:
        self._snapshot = Snapshot(self.spaces, {})

    def all(self) -> Mapping[str, Any]:
        return self.measured or {}


@dataclass
class Measured:
    runs: int
    succeeded: int
    call_p50: float | None = 1.0
    start_p50: float | None = 1.0


def listener(name: str, **fields: Any) -> SpaceEntry:
    return SpaceEntry(
        **{"id": name, "description": "Transcribes speech", "input_type": "audio", "category": "audio"}
        | fields
    )


def ask(
    *entries: SpaceEntry,
    text: str = "transcribe this",
    kinds: frozenset[str] = AUDIO,
    measured: Mapping[str, Any] | None = None,
    states: Mapping[str, str] | None = None,
    gpu: bool | None = None,
    limit: int = 5,
    **options: Any,
) -> tuple[Recommendation, ...]:
    held = Held({entry.id: entry for entry in entries}, measured)
    recommender = Recommender(held, held, lambda: states or {}, lambda: gpu)
    recommender.look()
    return recommender.recommend(analyse(text, kinds), limit, **options)


def names(found: tuple[Recommendation, ...]) -> list[str]:
    return [one.entry.id for one in found]


def why(found: tuple[Recommendation, ...], name: str) -> str:
    return "; ".join(next(one.reasons for one in found if one.entry.id == name))


def test_what_does_not_take_the_files_is_left_out() -> None:
    assert names(ask(listener("a"), listener("b", input_type="text"))) == ["a"]


def test_what_gives_something_else_is_left_out() -> None:
    assert names(ask(listener("a", output_type="image"), listener("b"))) == ["b"]


def test_what_is_not_available_is_left_out() -> None:
    assert names(ask(listener("a", status="broken"))) == []


def test_a_file_that_is_missing_is_said() -> None:
    found = ask(listener("a"), kinds=frozenset())
    assert "needs audio, which does not come with the task" in why(found, "a")


def test_what_is_made_for_the_task_goes_before_what_is_near_it() -> None:
    ears = listener("ears", description="audio classification")
    assert names(ask(ears, listener("scribe"), text="transcribe the sounds of this recording")) == [
        "scribe",
        *names(ask(ears, text="transcribe the sounds of this recording")),
    ]


def test_what_nothing_speaks_for_is_not_recommended() -> None:
    assert ask(listener("a", description="")) == ()


def test_words_of_a_description_are_enough() -> None:
    oracle = SpaceEntry(id="oracle", description="Tells your fortune from tea leaves")
    assert names(ask(oracle, text="tell my fortune from tea leaves", kinds=frozenset())) == ["oracle"]


def test_the_alias_goes_before_its_alternates() -> None:
    head = listener("head", alternates=("x/one", "x/two"))
    found = ask(listener("x/one"), listener("x/two"), head)
    assert names(found) == ["head", "x/one", "x/two"]
    assert "an alternate of head" in why(found, "x/one")


def test_alternates_do_not_take_all_the_places() -> None:
    speech = [listener("head", alternates=("one", "two", "three"))]
    speech += [listener(name, description="") for name in ("one", "two", "three")]
    other = listener("other", description="Voice to text, speech recognition")
    assert "other" in names(ask(*speech, other))[:3]


def test_an_alternate_of_which_nothing_is_said_is_made_for_the_same() -> None:
    assert names(ask(listener("head", alternates=("x/y",)), listener("x/y", description=""))) == [
        "head",
        "x/y",
    ]


def test_what_answers_well_goes_first() -> None:
    measured = {"good": Measured(20, 20), "bad": Measured(20, 1)}
    found = ask(listener("bad"), listener("unknown"), listener("good"), measured=measured)
    assert names(found) == ["good", "unknown", "bad"]
    assert "answered 20 of 20 here, 1.0 s at the median" in why(found, "good")


def test_warm_goes_first_among_equals_and_is_said() -> None:
    found = ask(listener("cold"), listener("warm"), states={"warm": "running"})
    assert names(found) == ["warm", "cold"]
    assert "is running now" in why(found, "warm")


def test_performance_first_puts_the_warm_and_fast_before_the_better() -> None:
    best = listener("best", likes=9000, verified=Verdict(works=True, reason="", at=WHEN, deep=True))
    fast = listener("fast", description="audio to text")
    entries, measured = (best, fast), {"fast": Measured(9, 9, 0.1), "best": Measured(9, 9, 60.0)}
    assert names(ask(*entries, measured=measured)) == ["best", "fast"]
    quick = ask(*entries, measured=measured, states={"fast": "running"}, performance_first=True)
    assert names(quick) == ["fast", "best"]


def test_what_failed_its_validation_is_put_last_with_the_reason() -> None:
    bad = listener("a", verified=Verdict(works=False, reason="it has no image", at=WHEN))
    found = ask(bad, listener("b"))
    assert names(found) == ["b", "a"]
    assert "did not pass its validation on 2026-01-02: it has no image" in why(found, "a")
    assert found[1].hindrance


def test_what_needs_a_gpu_is_put_last_where_there_is_none() -> None:
    entries = (listener("a", gpu=1), listener("b"))
    assert names(ask(*entries, gpu=False)) == ["b", "a"]
    assert names(ask(*entries, gpu=True)) == ["a", "b"]
    assert "needs a GPU, and this host has none" in why(ask(*entries, gpu=False), "a")


def test_a_category_has_its_spaces_even_where_nothing_speaks_for_them() -> None:
    mute = listener("mute", description="")
    other = listener("other", category="elsewhere")
    assert names(ask(mute, other, category="audio")) == ["mute"]


def test_every_recommendation_says_what_it_takes_and_whether_it_was_validated() -> None:
    text = why(ask(listener("a")), "a")
    assert "takes audio and gives text; made for automatic speech recognition" in text
    assert "never validated here" in text


def test_a_change_of_the_registry_counts_at_once() -> None:
    held = Held({"a": listener("a")})
    recommender = Recommender(held)
    task = analyse("transcribe", AUDIO)
    assert names(recommender.recommend(task)) == ["a"]
    assert recommender.is_ready
    held._snapshot = Snapshot({"b": listener("b")}, {})
    assert not recommender.is_ready
    assert names(recommender.recommend(task)) == ["b"]


def test_fellows_are_the_alternates_then_those_that_are_alike() -> None:
    chosen = listener("chosen", alternates=("alternate",))
    spaces = [
        chosen,
        listener("painter", description="image generation", output_type="image"),
        listener("alike"),
        listener("broken", verified=Verdict(works=False, reason="no", at=WHEN)),
        listener("alternate", description="", category="elsewhere"),
        listener("stranger", category="elsewhere"),
    ]
    fellows = Recommender(Held({entry.id: entry for entry in spaces})).fellows(chosen, AUDIO)
    assert [one.id for one in fellows] == ["alternate", "alike", "broken", "painter"]


@pytest.mark.parametrize(
    "text", ["transcribe this interview", "picture of a dog", "is it positive or negative"]
)
def test_ten_thousand_spaces_are_ranked_at_once(text: str) -> None:
    words = ("whisper", "picture", "sentiment", "code", "voice", "summary", "chat", "song", "page", "demo")
    entries = [
        SpaceEntry(
            id=f"user{n}/{words[n % 10]}-{n}",
            description=f"{words[n % 7]} and {words[n % 3]} number{n} demo",
            input_type=("text", "audio", "text_and_image")[n % 3],
            output_type=("text", "image")[n % 2],
        )
        for n in range(10_000)
    ]
    recommender = Recommender(Held({entry.id: entry for entry in entries}))
    started = time.process_time()
    recommender.search("anything", 1)
    indexed = time.process_time()
    assert len(recommender.recommend(analyse(text, frozenset()))) == 5
    # Under the bounds even on a machine that is busy with all the other tests.
    assert indexed - started < 2.0
    assert time.process_time() - indexed < 0.6
