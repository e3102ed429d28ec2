"""What the Hub is asked for each category: searches in plain words, and tags of Spaces (a table)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from spacedock_worker.hub.kinds import CATEGORIES

_IMAGES, _AUDIO, _TEXT, _NLP, _MANY, _VISION, _SPECIAL = CATEGORIES


class Discovery(NamedTuple):
    """The questions for one category: `queries` for the semantic search, `tags` to list the most liked by."""

    queries: tuple[str, ...]
    tags: tuple[str, ...] = ()


DISCOVERIES: Mapping[str, Discovery] = {
    _IMAGES: Discovery(
        ("generate an image from text", "edit or enhance an image", "describe an image in words"),
        ("text-to-image",),
    ),
    _AUDIO: Discovery(
        ("transcribe speech to text", "text to speech and voice cloning", "classify or separate audio"),
        ("automatic-speech-recognition",),
    ),
    _TEXT: Discovery(
        ("translate text", "summarize long text", "sentiment analysis of text"),
        ("translation",),
    ),
    _NLP: Discovery(
        ("answer questions about documents", "named entity recognition", "chat with a language model"),
        ("question-answering",),
    ),
    _MANY: Discovery(
        ("chat about an image", "visual question answering", "vision language model"),
        ("visual-question-answering",),
    ),
    _VISION: Discovery(
        ("detect objects in an image", "segment an image", "read text in images OCR"),
        ("object-detection",),
    ),
    _SPECIAL: Discovery(
        ("generate code from a description", "generate video", "generate a 3D model"),
        ("code-generation",),
    ),
}


def discovery_of(category: str) -> Discovery:
    """The questions for a category; for one of somebody's own, the words of its name."""
    return DISCOVERIES.get(category) or Discovery((category.replace("_", " ").replace("-", " "),))
