"""The layout of a long registry.yaml, again and again: only entries that are new are looked through.

Each entry's lines are looked through by themselves, and what was found of them is kept for the next text.
That gives what `layout` gives, since an entry that is whole by itself ends where the next key begins, in
the same column. Whatever is written in another way is left to `layout`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import yaml

from spacedock_worker.registry.layout import Layout, Piece, layout

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
