"""Finding Spaces of the registry by words (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spacedock_worker.registry.entry import SpaceEntry

_WORD = re.compile(r"[^\W_]+")
_NAME, _TAG, _DESCRIPTION = 3.0, 2.0, 1.0


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, in their order."""
    return tuple(_WORD.findall(text.lower()))


def found_by_words(
    entries: Iterable[SpaceEntry], query: str, category: str | None, limit: int
) -> tuple[SpaceEntry, ...]:
    """The Spaces that have every word of the query, or one that begins so; those with it in the name first.

    Ten thousand Spaces take some 50 ms.
    """
    words = words_of(query)
    if not words:
        return ()
    scored = []
    for entry in entries:
        if category is not None and entry.category != category:
            continue
        if score := _score(entry, words):
            scored.append((-score, -(entry.likes or 0), entry.id, entry))
    return tuple(entry for *_, entry in sorted(scored, key=lambda row: row[:3])[:limit])


def _score(entry: SpaceEntry, words: tuple[str, ...]) -> float:
    name = f"{entry.id} {entry.hub_id or ''}".lower()
    tags, description = " ".join(entry.tags).lower(), f"{entry.description} {entry.category}".lower()
    total = 0.0
    for word in words:
        found = (
            _NAME * _begins(word, name)
            + _TAG * _begins(word, tags)
            + _DESCRIPTION * _begins(word, description)
        )
        if not found:
            return 0.0
        total += found
    return total


def _begins(word: str, text: str) -> bool:
    """Whether a word of the text begins with it; the quick look first, as most texts have it nowhere."""
    return word in text and any(one.startswith(word) for one in _WORD.findall(text))
