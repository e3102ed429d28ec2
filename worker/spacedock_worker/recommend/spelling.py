"""Words that are one slip of the keyboard away from words that are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_LONGEST = 30
_SHORTEST = 6


class Spelling:
    """Knows words, and mends others that differ from exactly one of them by a single slip.

    A slip leaves a letter out, doubles or adds one, takes another, or swaps two neighbours; never the first.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._known = frozenset(words)
        self._shortened: dict[str, set[str]] = {}
        for word in self._known:
            if len(word) >= _SHORTEST:
                for short in (word, *_shortened(word)):
                    self._shortened.setdefault(short, set()).add(word)

    def mended(self, text: str) -> str:
        """The text, its words parted by single spaces, each mended where that is without doubt."""
        return " ".join(self._mended(word) for word in text.split())

    def _mended(self, written: str) -> str:
        word = written.strip(".,;:!?")
        meant = _SHORTEST - 1 <= len(word) <= _LONGEST and word.isalpha()
        if word in self._known or not meant:
            return written
        near = set().union(*(self._shortened.get(short, ()) for short in (word, *_shortened(word))))
        near = {other for other in near if _one_slip(word, other)}
        return written.replace(word, near.pop()) if len(near) == 1 else written


def _shortened(word: str) -> Iterator[str]:
    """The word without one of its letters but the first."""
    return (word[:at] + word[at + 1 :] for at in range(1, len(word)))


def _one_slip(word: str, other: str) -> bool:
    """Whether words that are alike but for a letter in each are so in the same place, or next to it."""
    if len(word) != len(other):
        return True
    apart = [at for at, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
    swapped = len(apart) == 2 and apart[1] == apart[0] + 1 and sorted(word) == sorted(other)
    return len(apart) == 1 or swapped
