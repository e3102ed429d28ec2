"""Where what stands in the text of a registry.yaml (pure): which lines are whose."""

from __future__ import annotations

from dataclasses import dataclass, field
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
