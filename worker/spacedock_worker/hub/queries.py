"""What the Hub is asked for each category, and which of the Spaces that it found come first (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import log10
from typing import NamedTuple

from spacedock_worker.hub.kinds import CATEGORIES
from spacedock_worker.hub.space import HubSpace

ASK_SECONDS = 10.0
"""How long one question may take."""

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


_RELEVANCE, _LIKES = 0.75, 0.25
_UNTOLD = 0.5
_STEP = 0.02
_MANY_LIKES = 4.0
_BROKEN = frozenset({"RUNTIME_ERROR", "BUILD_ERROR", "CONFIG_ERROR", "NO_APP_FILE", "DELETING"})
_BROKEN_SHARE, _CLOSED_SHARE = 0.6, 0.7
_OTHER = 0.7
"""From this confidence on a Space is of another category than the one that was asked for."""


def merged(answers: Iterable[Sequence[HubSpace]]) -> tuple[HubSpace, ...]:
    """The Spaces of several answers, each once, the best first.

    Where an answer has no relevance, a Space's place in it counts.
    """
    best: dict[str, tuple[float, HubSpace]] = {}
    for spaces in answers:
        for place, space in enumerate(spaces):
            score = _score(space, place)
            if space.id not in best or score > best[space.id][0]:
                best[space.id] = (score, space)
    ordered = sorted(best.values(), key=lambda pair: (-pair[0], pair[1].id))
    return tuple(space for _, space in ordered)


def of_category(spaces: Iterable[HubSpace], category: str) -> tuple[HubSpace, ...]:
    """Those that are, or may well be, of the category; a Space that tells nothing is what it was found as."""
    found = []
    for space in spaces:
        if space.category == category:
            found.append(space)
        elif space.confidence < _OTHER:
            reason = f"a search for {category} finds it"
            guessed = replace(space, category=category, confidence=min(space.confidence, 0.4), reason=reason)
            found.append(guessed)
    return tuple(found)


def _score(space: HubSpace, place: int) -> float:
    relevance = max(_UNTOLD - place * _STEP, 0.0) if space.relevance is None else space.relevance
    score = _RELEVANCE * relevance + _LIKES * min(log10(1 + space.likes) / _MANY_LIKES, 1.0)
    if space.stage in _BROKEN:
        score *= _BROKEN_SHARE
    return score * _CLOSED_SHARE if space.private or space.gated else score
