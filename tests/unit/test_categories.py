"""What is inferred of a Space: its category, its types, how sure that is, and why."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import yaml

from spacedock_worker.hub.categories import SURE, Clues, infer
from spacedock_worker.hub.kinds import AI_CATEGORIES, CATEGORIES, KINDS, UNKNOWN
from spacedock_worker.hub.queries import DISCOVERIES, discovery_of


@pytest.mark.parametrize(
    ("clues", "category", "types"),
    [
        (Clues("me/x", tags=("image-to-text",)), "image_processing", ("image", "text")),
        (Clues("me/x", ai_category="Voice Cloning"), "audio_processing", ("text_and_audio", "audio")),
        (Clues("me/x", model_tasks={"a/b": "translation"}), "text_processing", ("text", "text")),
        (Clues("me/x", "Segment anything in a picture"), "computer_vision", ("image", "image")),
        (Clues("lewtun/donut-docvqa"), "nlp", ("text_and_image", "text")),
        (Clues("andito/Florence-2-DocVQA"), "nlp", ("text_and_image", "text")),
        (Clues("HuggingFaceTB/SmolVLM"), "multimodal", ("text_and_image", "text")),
        (Clues("me/x", tags=("code-generation",)), "specialized", ("text", "text")),
    ],
)
def test_each_source_alone_tells(clues: Clues, category: str, types: tuple[str, str]) -> None:
    guess = infer(clues)
    assert (guess.category, (guess.input_type, guess.output_type)) == (category, types)
    assert guess.sure
    assert guess.reason


def test_of_nothing_nothing_is_said() -> None:
    guess = infer(Clues("someone/my-space", "A demo", tags=("gradio", "region:us")))
    assert (guess.category, guess.confidence, guess.sure) == ("specialized", 0.0, False)
    assert (guess.input_type, guess.output_type) == (UNKNOWN, UNKNOWN)


def test_sources_that_agree_make_surer_and_those_that_do_not_unsure() -> None:
    alone = infer(Clues("me/whisper")).confidence
    agreed = infer(Clues("me/whisper", tags=("automatic-speech-recognition",))).confidence
    disputed = infer(Clues("me/whisper", tags=("text-to-image",)))
    assert disputed.confidence < alone < agreed < 1
    assert disputed.category == "image_processing"


def test_a_language_model_may_be_used_for_anything() -> None:
    guess = infer(Clues("me/x", model_tasks={"a/llm": "text-generation"}))
    assert (guess.category, guess.input_type) == ("nlp", UNKNOWN)
    assert guess.confidence < SURE
    both = infer(Clues("me/summarize", model_tasks={"a/llm": "text-generation"}))
    assert both.category == "text_processing"


def test_a_readme_alone_is_not_enough_to_be_sure() -> None:
    guess = infer(Clues("me/x", readme="Like other Spaces that translate, but it does not."))
    assert guess.category == "text_processing"
    assert not guess.sure


def test_a_word_counts_whole() -> None:
    assert infer(Clues("me/paperclips", "Boats and clippers")).confidence == 0


def test_the_tables_name_nothing_that_is_not_there() -> None:
    assert {kind.category for kind in KINDS.values()} == set(CATEGORIES) == set(DISCOVERIES)
    assert set(AI_CATEGORIES.values()) <= KINDS.keys()
    assert {tag for discovery in DISCOVERIES.values() for tag in discovery.tags} <= KINDS.keys()
    assert discovery_of("my_own-thing").queries == ("my own thing",)


def test_most_of_the_default_registry_would_be_found_out() -> None:
    text = (resources.files("spacedock_worker.registry") / "default.yaml").read_text(encoding="utf-8")
    spaces: dict[str, dict[str, Any]] = yaml.safe_load(text)["spaces"]
    told = [
        infer(Clues(row.get("hub_id") or name, row["description"])).category == row["category"]
        for name, row in spaces.items()
    ]
    assert sum(told) / len(told) >= 0.85
