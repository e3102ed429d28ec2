"""The field's tasks as data: what each takes and gives, its names, how people ask for and misspell it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from spacedock._yaml.nodes import LOADER

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


GENERAL = "text-generation"
"""The task of a general language model: whatever no other task is."""

_FILE = Path(__file__).with_name("taxonomy.yaml")
_GROUPS = {"sure": 1.3, "asks": 1.0, "hints": 0.5}


@dataclass(frozen=True, slots=True)
class TaskKind:
    """One task: see taxonomy.yaml. `asks` are its patterns, each with its weight."""

    name: str
    title: str
    takes: frozenset[str]
    may_take: frozenset[str]
    gives: frozenset[str]
    category: str
    names: tuple[str, ...]
    asks: tuple[tuple[re.Pattern[str], float], ...] = ()
    alone: Mapping[str, float] = field(default_factory=dict)
    question: float = 0.0
    near: Mapping[str, float] = field(default_factory=dict)

    @property
    def needs(self) -> frozenset[str]:
        """The kinds of file without which it cannot be done: all that it takes but words."""
        return self.takes - {"text"}

    def suits(self, kinds: frozenset[str]) -> bool:
        """Whether it has a use for files of these kinds; a text file is text like a prompt."""
        return kinds <= self.takes | self.may_take


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """All tasks by name; what is said before a request, and the words that say nothing.

    `mentions` find by kind what tells of a file; `spelling` knows the words of all patterns.
    """

    kinds: Mapping[str, TaskKind]
    names: Names
    polite: re.Pattern[str]
    empty: frozenset[str]
    mentions: Mapping[str, re.Pattern[str]]
    spelling: Spelling

    def category_of(self, task: str) -> str:
        """The category in which Spaces of a task are."""
        return self.kinds[task].category


@cache
def taxonomy() -> Taxonomy:
    """The taxonomy that comes with Spacedock, read once."""
    document = yaml.load(_FILE.read_text(encoding="utf-8"), LOADER)
    kinds = {name: _kind(name, row, document["words"]) for name, row in document["tasks"].items()}
    names = Names({kind.name: (_spelled(kind.name), *kind.names) for kind in kinds.values()})
    polite = re.compile(rf"\A\W*(?:(?:{document['polite'].replace('| ', '|')})\b[\s,!.]*)+")
    mentions = {
        kind: compiled(f"({words})", document["words"]) for kind, words in document["mentions"].items()
    }
    text = _FILE.read_text(encoding="utf-8").lower()
    known = re.findall(r"[^\W\d_]+", text.replace("[sz]", "s") + text.replace("[sz]", "z"))
    return Taxonomy(kinds, names, polite, frozenset(document["empty"].split()), mentions, Spelling(known))


def _spelled(name: str) -> str:
    return name.replace("-", " ")


def _kind(name: str, row: Mapping[str, Any], words: Mapping[str, str]) -> TaskKind:
    return TaskKind(
        name=name,
        title=row["title"],
        takes=frozenset(row["takes"]),
        may_take=frozenset(row.get("may_take", ())),
        gives=frozenset(row["gives"]),
        category=row["category"],
        names=tuple(str(item) for item in row["names"]),
        asks=tuple(_asks(row, words)),
        alone=row.get("alone", {}),
        question=row.get("question", 0.0),
        near=row.get("near", {}),
    )


def _asks(row: Mapping[str, Any], words: Mapping[str, str]) -> Iterator[tuple[re.Pattern[str], float]]:
    for group, weight in _GROUPS.items():
        for pattern in row.get(group, ()):
            yield compiled(pattern, words), weight


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
