"""The instructions of a Dockerfile, in each way in which one of the engines' builders may read it (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

_QUOTES = re.compile(r"[\"'\\`]")
_FLAGS = re.compile(r"(?:--(?:[^\s'\"]|'[^']*'|\"[^\"]*\")*(?:\s+|$))*")
_BACKTICK_ESCAPES = re.compile(r"^\s*#\s*escape\s*=\s*`", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its `name` in capitals, its flags, and what follows them."""

    name: str
    flags: tuple[str, ...]
    rest: str

    @property
    def words(self) -> tuple[str, ...]:
        """What follows, word by word, without quotes and escapes."""
        return tuple(plain(self.rest).split())

    @property
    def arguments(self) -> Iterator[tuple[str, ...]]:
        """The words, and where a builder may take them for a list in JSON, those of the list.

        What no list is for one JSON reader is one for another, and what stands after it is left alone.
        """
        yield self.words
        if self.rest.startswith("["):
            try:
                listed, _ = json.JSONDecoder().raw_decode(self.rest)
            except (ValueError, RecursionError):
                return
            yield tuple(word for item in listed for word in plain(str(item)).split())


@dataclass(frozen=True, slots=True)
class _Reading:
    """What continues a line: the escape character, doubled or not; a comment that is indented, or none."""

    escape: str
    doubled: bool
    comments: bool

    def continues(self, line: str) -> bool:
        line = line.rstrip(" \t")
        return line.endswith(self.escape) and (self.doubled or not line.endswith(2 * self.escape))

    def skips(self, line: str) -> bool:
        return not line.strip() or (line.lstrip() if self.comments else line).startswith("#")


def plain(text: str) -> str:
    """The text without quotes and escapes, which builders take away."""
    return _QUOTES.sub("", text)


def readings(text: str) -> Iterator[tuple[Instruction, ...]]:
    """The Dockerfile's instructions as each builder has them: they differ in what continues a line."""
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    escapes = "\\`" if _BACKTICK_ESCAPES.search(text) else "\\"
    for escape, doubled, comments in product(escapes, (False, True), (False, True)):
        yield tuple(map(instruction, _joined(lines, _Reading(escape, doubled, comments))))


def instruction(line: str) -> Instruction:
    """The instruction on a whole line."""
    name, _, rest = re.sub(r"\s+", " ", line.strip(), count=1).partition(" ")
    found = _FLAGS.match(rest)
    assert found is not None
    flags = tuple(plain(flag) for flag in re.findall(r"--(?:[^\s'\"]|'[^']*'|\"[^\"]*\")*", found[0]))
    return Instruction(name.upper(), flags, rest[found.end() :].strip())


def _joined(lines: list[str], reading: _Reading) -> Iterator[str]:
    parts: list[str] = []
    for line in lines:
        if reading.skips(line if parts else line.lstrip()):
            continue
        if reading.continues(line):
            parts.append(line.rstrip(" \t")[:-1])
            continue
        yield "".join([*parts, line])
        parts = []
    if parts:
        yield "".join(parts)
