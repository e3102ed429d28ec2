"""Which of the Spaces that the Hub found come first: by relevance, likes, and whether they run (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import log10

from spacedock_worker.hub.space import HubSpace

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
