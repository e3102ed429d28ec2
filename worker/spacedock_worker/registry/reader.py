"""Reading the text of a registry.yaml: every Space that can be, and of the rest what is wrong, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from spacedock._yaml.nodes import composed
from spacedock.errors import BadRequestError
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.row import Row, row_of

_REMOVED = "removed"
_PARTS = ("spaces", "categories")
_NOTHING = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Listed:
    """A name in a category's list; `place` is where it stands, as file, line and column."""

    category: str
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Declared:
    """Spaces by name, the categories' lists as they are written, and warnings in words.

    `broken` are the names of entries that were left out; `removed` the Spaces of the first registry that
    were removed, which only catalogue.yaml has.
    """

    spaces: Mapping[str, SpaceEntry] = field(default_factory=dict)
    listed: tuple[Listed, ...] = ()
    warnings: tuple[str, ...] = ()
    broken: frozenset[str] = frozenset()
    removed: tuple[str, ...] = ()


class Reader:
    """Reads one file again and again; entries that are as before are not looked through again.

    `removed` says that the file may also list Spaces that were removed.
    """

    def __init__(self, path: Path, *, removed: bool = False) -> None:
        self._path, self._removed = path, removed
        self._known: dict[str, Row] = {}

    def read(self, text: str) -> Declared:
        """What the text declares.

        An entry with a fault is left out, as a mistyped key may be a wall that was meant to be there; the
        warnings say where. Raises BadRequestError where the text is no registry at all.
        """
        return self._declared(text, composed(text, str(self._path)))

    def _declared(self, text: str, root: yaml.Node | None) -> Declared:
        parts = _Parts(self._path, root, (*_PARTS, _REMOVED) if self._removed else _PARTS)
        spaces, broken = self._spaces(text, parts)
        listed = tuple(_listed(parts))
        removed = tuple(str(node.value) for node in parts.items(_REMOVED)) if self._removed else ()
        return Declared(spaces, listed, tuple(parts.warnings), broken, removed)

    def _spaces(self, text: str, parts: _Parts) -> tuple[dict[str, SpaceEntry], frozenset[str]]:
        spaces: dict[str, SpaceEntry] = {}
        seen: set[str] = set()
        for key, row in self._rows(text, parts):
            line, column = key.start_mark.line, key.start_mark.column
            if key.value in seen:
                parts.warn(line, column, f"spaces.{key.value} is there twice: the first one counts")
            elif row.entry is not None:
                spaces[key.value] = row.entry
            for fault in row.faults:
                words = f"spaces.{key.value}: {fault.words}. The Space is left out until this is mended"
                parts.warn(line + fault.line, fault.column, words)
            seen.add(key.value)
        return spaces, frozenset(seen - spaces.keys())

    def _rows(self, text: str, parts: _Parts) -> Iterator[tuple[yaml.ScalarNode, Row]]:
        known: dict[str, Row] = {}
        # What an alias means stands elsewhere in the text.
        alone = "&" not in text
        for key, value in parts.pairs("spaces"):
            lines = text[key.start_mark.index : value.end_mark.index] if alone else ""
            row = self._known.get(lines) or row_of(key, value)
            if alone:
                known[lines] = row
            yield key, row
        self._known = known


class _Parts:
    """The parts of a document, and the warnings about them."""

    def __init__(self, path: Path, root: yaml.Node | None, known: tuple[str, ...]) -> None:
        self._path, self._root = path, root
        self.warnings: list[str] = []
        if root is not None and not isinstance(root, yaml.MappingNode):
            raise BadRequestError(f"{path} is no registry: it has no 'spaces:' mapping")
        for key, _ in _pairs(root):
            if key.value not in known:
                self.at(key, f"unknown key '{key.value}': there are 'spaces' and 'categories'")

    def pairs(self, part: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The keys and values of a part."""
        for key, value in _pairs(self._root):
            if key.value == part and not isinstance(value, yaml.MappingNode) and value.value:
                self.at(key, f"'{part}' is not a mapping")
            elif key.value == part:
                return _pairs(value)
        return []

    def items(self, part: str) -> list[yaml.Node]:
        """The items of a part that is a list."""
        lists = [value for key, value in _pairs(self._root) if key.value == part]
        return [item for value in lists if isinstance(value, yaml.SequenceNode) for item in value.value]

    def at(self, node: yaml.Node, words: str) -> None:
        self.warn(node.start_mark.line, node.start_mark.column, words)

    def warn(self, line: int, column: int, words: str) -> None:
        self.warnings.append(f"{self.place(line, column)}: {words}")

    def place(self, line: int, column: int) -> str:
        return f"{self._path}:{line + 1}:{column + 1}"


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """The keys of a mapping that are words, with their values."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]


def _listed(parts: _Parts) -> Iterator[Listed]:
    for key, value in parts.pairs("categories"):
        if isinstance(value, yaml.SequenceNode):
            for item in value.value:
                place = parts.place(item.start_mark.line, item.start_mark.column)
                yield Listed(key.value, str(item.value), place)
        elif value.tag != _NOTHING:
            parts.at(key, f"categories.{key.value}: not a list of names")
