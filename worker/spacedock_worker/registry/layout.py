"""Where what stands in the text of a registry.yaml (pure): which lines are whose."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import yaml

# libyaml's are ten times as fast: a registry is read again between two jobs.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_PARTS = ("spaces", "categories")
_ENDS = (yaml.ScalarEvent, yaml.AliasEvent)
_OPENS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSES = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


@dataclass(frozen=True, slots=True)
class Piece:
    """A key with its value: whole lines of the text, from `start` to before `end` (indices of characters).

    `line` and `column` are the key's, from 0. Comments between two keys are of neither's piece.
    """

    key: str
    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The pieces of the whole file, and of its parts: the Spaces and the categories by their keys' order.

    A part is None where it is not written in lines of its own, one key below the other. `linked` says that
    the text has anchors or aliases: no piece of it can be understood alone.
    """

    top: tuple[Piece, ...] = ()
    spaces: tuple[Piece, ...] | None = None
    categories: tuple[Piece, ...] | None = None
    linked: bool = False


def layout(text: str) -> Layout:
    """Find the pieces. Raises yaml.YAMLError where the text is no YAML."""
    walk = _Walk(text)
    for event in yaml.parse(text, LOADER):
        walk.take(event)
    return Layout(
        tuple(walk.done[0]),
        tuple(walk.parts["spaces"]) if "spaces" in walk.parts else None,
        tuple(walk.parts["categories"]) if "categories" in walk.parts else None,
        walk.linked,
    )


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that has begun; `key` says whether its next child is a key."""

    mapping: bool
    block: bool
    key: bool = True


@dataclass(slots=True)
class _Walk:
    """Walks over the events of a document and notes the pieces of its two upper levels.

    Events are Any: their type stubs allow for marks that are missing, and libyaml's never are.
    """

    text: str
    linked: bool = False
    documents: int = 0
    done: tuple[list[Piece], list[Piece]] = field(default_factory=lambda: ([], []))
    parts: dict[str, list[Piece]] = field(default_factory=dict)
    _stack: list[_Open] = field(default_factory=list)
    _begun: list[Any] = field(default_factory=list)
    _last: int = 0

    def take(self, event: Any) -> None:
        """Go on by one event."""
        begins = isinstance(event, yaml.DocumentStartEvent)
        if begins and self.documents:
            raise yaml.MarkedYAMLError(problem="a second document begins", problem_mark=event.start_mark)
        self.documents += begins
        self.linked = self.linked or bool(getattr(event, "anchor", None))
        if isinstance(event, _CLOSES):
            self._close(event)
        elif isinstance(event, (*_OPENS, *_ENDS)):
            self._child(event)

    def _child(self, event: Any) -> None:
        top = self._stack[-1] if self._stack else None
        is_key = top is not None and top.mapping and top.key
        if is_key and len(self._stack) <= len(self.done) and self._in_lines():
            level = len(self._stack) - 1
            self._finish(level)
            # A key that is no word has no piece, and neither has what is in it.
            if isinstance(event, yaml.ScalarEvent) and len(self._begun) == level:
                self._begun.append(event)
                del self.done[1][len(self.done[1]) if level else 0 :]
        if top is not None and top.mapping:
            top.key = not top.key
        if isinstance(event, _OPENS):
            self._stack.append(_Open(isinstance(event, yaml.MappingStartEvent), not event.flow_style))
        else:
            self._last = event.end_mark.index

    def _close(self, event: Any) -> None:
        level, closed = len(self._stack) - 1, self._stack[-1]
        if level < len(self.done) and closed.mapping and self._in_lines():
            self._finish(level)
            if level == 1 and self._begun and self._begun[0].value in _PARTS:
                self.parts[self._begun[0].value] = list(self.done[1])
                self.done[1].clear()
        self._stack.pop()
        if not closed.block:
            self._last = event.end_mark.index

    def _in_lines(self) -> bool:
        return all(one.block for one in self._stack)

    def _finish(self, level: int) -> None:
        """The key that was begun at that level, if there is one, ends with what came last."""
        if len(self._begun) <= level:
            return
        del self._begun[level + 1 :]
        key = self._begun.pop()
        start = self.text.rfind("\n", 0, key.start_mark.index) + 1
        piece = Piece(str(key.value), start, self._line_end(), key.start_mark.line, key.start_mark.column)
        self.done[level].append(piece)

    def _line_end(self) -> int:
        if self._last and self.text[self._last - 1] == "\n":
            return self._last
        found = self.text.find("\n", self._last)
        return len(self.text) if found < 0 else found + 1


_KEY = "spaces:\n"
_HEAD = re.compile(r"^spaces:[ \t]*(?:#.*)?\n", re.MULTILINE)
_MARGIN = re.compile(r"^[^ \t\r\n#]", re.MULTILINE)
_FIRST = re.compile(r"^([ \t]+)[^ \t\r\n#]", re.MULTILINE)
_BEGIN = r"^ {%d}(?![ \t\r\n#]|-[ \t\r\n])"
"""A key in that column; a dash there is an item of the list above it."""

_BREAKS = re.compile("[\x85\u2028\u2029]|\r(?!\n)")
"""Line ends of YAML's that nobody uses."""

_EXPLICIT = ("?", ":")
"""What begins the two halves of a key and its value, which are no entries by themselves."""


class Chunks:
    """What was found of the last text."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._layout = Layout()
        self._known: dict[str, Piece] = {}

    def layout(self, text: str) -> Layout:
        """The pieces of the text. Raises yaml.YAMLError where it is no YAML."""
        if text != self._text:
            self._layout = self._by_chunks(text) or layout(text)
            self._text = text
        return self._layout

    def _by_chunks(self, text: str) -> Layout | None:
        head = _HEAD.search(text)
        if head is None or _BREAKS.search(text):
            return None
        margin = _MARGIN.search(text, head.end())
        begin, end = head.end(), margin.start() if margin else len(text)
        try:
            rest = layout(text[:begin] + "\n" * text.count("\n", begin, end) + text[end:])
            pieces = self._pieces(text, begin, end)
        except yaml.YAMLError:
            return None
        own = [piece for piece in rest.top if piece.key == "spaces"]
        if rest.linked or not pieces or [(one.start, one.end) for one in own] != [(head.start(), begin)]:
            return None
        return _joined(rest, pieces, begin, end - begin - text.count("\n", begin, end))

    def _pieces(self, text: str, begin: int, end: int) -> tuple[Piece, ...]:
        """The entries between; none where they are not one key below the other. Raises yaml.YAMLError."""
        starts = _starts(text, begin, end)
        line, at, found, known = text.count("\n", 0, begin), begin, [], {}
        for start, stop in pairwise([*starts, end]):
            chunk = text[start:stop]
            known[chunk] = own = self._known.get(chunk) or _piece(chunk)
            line, at = line + text.count("\n", at, start), start
            found.append(Piece(own.key, start + own.start, start + own.end, line + own.line, own.column))
        self._known = known
        return tuple(found)


def _starts(text: str, begin: int, end: int) -> list[int]:
    """Where the entries begin: at each key in the first one's column."""
    first = _FIRST.search(text, begin, end)
    if first is None or "\t" in first[1]:
        return []
    keys = re.compile(_BEGIN % len(first[1]), re.MULTILINE).finditer(text, begin, end)
    ends = [(match.start(), match.end()) for match in keys]
    odd = not ends or ends[0][0] != first.start() or any(text[at] in _EXPLICIT for _, at in ends)
    return [] if odd else [start for start, _ in ends]


def _piece(chunk: str) -> Piece:
    """The piece that the chunk is. Raises yaml.YAMLError where it is not one."""
    found = layout(_KEY + chunk)
    if found.linked or len(found.top) != 1 or found.spaces is None or len(found.spaces) != 1:
        raise yaml.YAMLError("not one entry")
    own = found.spaces[0]
    return replace(own, start=own.start - len(_KEY), end=own.end - len(_KEY), line=own.line - 1)


def _joined(rest: Layout, pieces: tuple[Piece, ...], begin: int, left_out: int) -> Layout:
    """The layout of the whole; of what stands behind the Spaces `left_out` letters had been left out."""

    def moved(piece: Piece) -> Piece:
        if piece.key == "spaces" and piece.end == begin:
            return replace(piece, end=pieces[-1].end)
        if piece.start < begin:
            return piece
        return replace(piece, start=piece.start + left_out, end=piece.end + left_out)

    categories = None if rest.categories is None else tuple(map(moved, rest.categories))
    return Layout(tuple(map(moved, rest.top)), pieces, categories)
