"""The little language in which the taxonomy says how people ask for a task, and looking for it in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Something between two words; nothing, where an optional word before it was left out.
_APART = r"(?:\W+|(?<!\w))"
_WORD = r"[\w'-]++"
_GAPS = {" ... ": 6, " .. ": 2}
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
        self._by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._stems: dict[str, list[str]] = {}
        for owner, phrases in names.items():
            for phrase in phrases:
                first, *rest = phrase.lower().split()
                if first.endswith("*"):
                    self._stems.setdefault(first[:-1], []).append(owner)
                else:
                    self._by_first.setdefault(first, []).append((tuple(rest), owner))
        self._shortest = min(map(len, self._stems), default=1)

    def found(self, text: str) -> dict[str, int]:
        """For each owner that a name of is in the text, how many words its longest name there has."""
        tokens = tokens_of(text)
        found: dict[str, int] = {}
        for index, token in enumerate(tokens):
            for rest, owner in self._by_first.get(token, ()):
                if _follows(tokens, index + 1, rest):
                    found[owner] = max(found.get(owner, 0), 1 + len(rest))
            for end in range(self._shortest, len(token) + 1):
                for owner in self._stems.get(token[:end], ()):
                    found[owner] = max(found.get(owner, 0), 1)
        return found


def tokens_of(text: str) -> list[str]:
    """The words of a name or a text, in lower case: letters and digits, split at all else."""
    return re.findall(r"[^\W_]+", text.lower())


def _follows(tokens: list[str], start: int, rest: tuple[str, ...]) -> bool:
    """Whether the words follow there; a last word that ends with `*` begins one."""
    if not rest:
        return True
    there = tokens[start : start + len(rest)]
    if len(there) < len(rest) or any(a != b for a, b in zip(there[:-1], rest[:-1], strict=True)):
        return False
    return there[-1].startswith(rest[-1][:-1]) if rest[-1].endswith("*") else there[-1] == rest[-1]
