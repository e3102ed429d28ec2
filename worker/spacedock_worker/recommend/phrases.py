"""The little language in which the taxonomy says how people ask for a task, and looking for it in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

# Something between two words; nothing, where an optional word before it was left out.
_APART = r"(?:\W+|(?<!\w))"
_WORD = r"[\w'-]++"
_GAPS = {" ... ": 6, " .. ": 2}
_REMEMBERED = 20_000
_PARTS = re.compile(r"( \.\.\. | \.\. | )")


def compiled(pattern: str, words: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern as a regular expression on lower-case text.

    `<name>` stands for any of `words[name]`; a space for what is between two words, ` .. ` for at most two
    words, ` ... ` for at most six; `*` for the rest of a word; `^` for the start of the text.
    """
    whole = re.sub(r"<(\w+)>", lambda found: f"({words[found[1]]})", pattern)
    parts = (_between(part) for part in _PARTS.split(whole.removeprefix("^")))
    start = r"\A" if whole.startswith("^") else r"(?<!\w)"
    return re.compile(f"{start}(?:{''.join(parts)})(?!\\w)")


def _between(part: str) -> str:
    if part in _GAPS:
        return f"(?:{_APART}{_WORD}){{0,{_GAPS[part]}}}?{_APART}"
    if part == " ":
        return _APART
    return re.sub(r"\((?!\?)", "(?:", re.sub(r"(?<=\w)\*", r"\\w*", part))


class Names:
    """Finds which of many names occur in words; a name that ends with `*` begins a word."""

    def __init__(self, names: Mapping[str, tuple[str, ...]]) -> None:
        """`names` are the names of each owner."""
        self._stems: dict[str, list[str]] = {}
        self._words: dict[str, list[str]] = {}
        # By their first two words, of names that have more than one.
        self._phrases: dict[tuple[str, str], list[tuple[tuple[str, ...], str]]] = {}
        for owner, phrases in names.items():
            for phrase in phrases:
                self._add(phrase.lower().split(), owner)
        self._shortest = min(map(len, self._stems), default=1)
        self._owners = lru_cache(maxsize=_REMEMBERED)(self._owners_of)

    def found(self, text: str) -> dict[str, int]:
        """For each owner that a name of is in the text, how many words its longest name there has."""
        tokens = tokens_of(text)
        found: dict[str, int] = {}
        for token in tokens:
            for owner in self._owners(token):
                found[owner] = 1
        for index, pair in enumerate(pairwise(tokens)):
            for rest, owner in self._phrases.get(pair, ()):
                if tuple(tokens[index + 2 : index + 2 + len(rest)]) == rest:
                    found[owner] = max(found.get(owner, 0), 2 + len(rest))
        return found

    def _add(self, words: list[str], owner: str) -> None:
        if len(words) > 1:
            # The end of a word counts only in names of one word.
            first, second, *rest = (word.rstrip("*") for word in words)
            self._phrases.setdefault((first, second), []).append((tuple(rest), owner))
        elif words[0].endswith("*"):
            self._stems.setdefault(words[0][:-1], []).append(owner)
        else:
            self._words.setdefault(words[0], []).append(owner)

    def _owners_of(self, token: str) -> tuple[str, ...]:
        """Whose names of one word the word is."""
        ends = range(self._shortest, len(token) + 1)
        begun = [owner for end in ends for owner in self._stems.get(token[:end], ())]
        return (*self._words.get(token, ()), *begun)


def tokens_of(text: str) -> list[str]:
    """The words of a name or a text, in lower case: letters and digits, split at all else."""
    return re.findall(r"[^\W_]+", text.lower())
