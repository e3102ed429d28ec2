"""The instructions of a Dockerfile, in each way in which one of the engines' builders may read it (pure)."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

_QUOTES = re.compile(r"[\"'\\`]")
_FLAGS = re.compile(r"(?:--(?:[^\s'\"]|'[^']*'|\"[^\"]*\")*(?:\s+|$))*")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<(-?)(\"[^\"]+\"|'[^']+'|[^\s<\"']+)(?=\s|$)")
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


def as_buildkit(text: str) -> Iterator[Instruction]:
    """The instructions as BuildKit has them, which alone knows here-documents; without what is in those."""
    lines = [line.removesuffix("\r") for line, inside in heredoc_lines(text) if not inside]
    yield from map(instruction, _joined(lines, _buildkit(text)))


def heredoc_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line of the Dockerfile, and whether it is in a here-document; the word that ends one is too.

    A document without an end is none. Lines are parted where builders part them.
    """
    lines, reading = text.split("\n"), _buildkit(text)
    last = {form: number for number, line in enumerate(lines) for form in _ends(line)}
    parts: list[str] = []
    ends: deque[tuple[str, bool]] = deque()
    for number, line in enumerate(lines):
        yield line, bool(ends)
        plain_line = line.removesuffix("\r")
        if ends:
            word, tabs = ends[0]
            if (plain_line.lstrip("\t") if tabs else plain_line) == word:
                ends.popleft()
        elif reading.skips(plain_line if parts else plain_line.lstrip("\ufeff \t")):
            continue
        elif reading.continues(plain_line):
            parts.append(plain_line.rstrip(" \t")[:-1])
        else:
            found = _documents("".join([*parts, plain_line]))
            ends = deque(end for end in found if last.get(end, -1) > number)
            parts = []


def _ends(line: str) -> tuple[tuple[str, bool], ...]:
    """What documents the line would end: by a word alone, and by a word after tabs (`<<-`)."""
    line = line.removesuffix("\r")
    return (line, False), (line.lstrip("\t"), True)


def _documents(line: str) -> Iterator[tuple[str, bool]]:
    """The words that end the here-documents of an instruction, and whether tabs may stand before each."""
    one = instruction(line)
    if (instruction(one.rest) if one.name == "ONBUILD" else one).name in ("RUN", "COPY", "ADD"):
        for tabs, word in _HEREDOC.findall(one.rest):
            yield plain(word), bool(tabs)


def _buildkit(text: str) -> _Reading:
    return _Reading("`" if _BACKTICK_ESCAPES.search(text) else "\\", doubled=False, comments=True)


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
