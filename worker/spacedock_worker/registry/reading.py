"""Reading the text of a registry.yaml: every Space that can be, and of the rest what is wrong, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spacedock.errors import BadRequestError
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.layout import LOADER, Chunks, Layout
from spacedock_worker.registry.row import Row, row_of
from spacedock_worker.registry.snapshot import Snapshot

PARTS = ("spaces", "categories")
_NOTHING = "tag:yaml.org,2002:null"


@dataclass(slots=True)
class Reader:
    """Reads one file again and again; entries whose lines are as before are not read again."""

    path: Path
    _chunks: Chunks = field(default_factory=Chunks)
    _known: dict[str, Row] = field(default_factory=dict)

    def read(self, text: str) -> Snapshot:
        """The registry that the text is.

        An entry with a fault is left out, as a mistyped key may be a wall that was meant to be there; the
        snapshot's warnings say where. Raises BadRequestError where the text is no registry at all.
        """
        try:
            return self._read(text, self.layout(text))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
            raise BadRequestError(f"{self.path}{place}: not YAML: {error.problem}") from error
        except (yaml.YAMLError, RecursionError) as error:
            raise BadRequestError(f"{self.path}: not YAML: {error}") from error

    def layout(self, text: str) -> Layout:
        """Where what stands in the text. Raises yaml.YAMLError where it is no YAML."""
        return self._chunks.layout(text)

    def _read(self, text: str, found: Layout) -> Snapshot:
        parts = _Parts(self.path, text, found)
        spaces = dict(self._spaces(parts))
        return Snapshot(spaces, dict(_categories(parts, spaces)), tuple(parts.warnings))

    def _spaces(self, parts: _Parts) -> Iterator[tuple[str, SpaceEntry]]:
        seen: set[str] = set()
        for name, line, column, row in self._rows(parts):
            if name in seen:
                parts.warn(line, column, f"spaces.{name} is there twice: the first one counts")
            elif row.entry is not None:
                yield name, placed(row.entry, self.path.parent)
            for fault in row.faults:
                words = f"spaces.{name}: {fault.words}. The Space is left out until this is mended"
                parts.warn(line + fault.line, fault.column, words)
            seen.add(name)

    def _rows(self, parts: _Parts) -> Iterator[tuple[str, int, int, Row]]:
        """Each entry with the line and the column of its name."""
        known: dict[str, Row] = {}
        if parts.alone:
            for piece in parts.found.spaces or ():
                lines = parts.text[piece.start : piece.end]
                row = self._known.get(lines) or row_of(*_pairs(_composed(lines))[0])
                known[lines] = row
                yield piece.key, piece.line, piece.column, row
        else:
            for key, value in parts.pairs("spaces"):
                yield key.value, key.start_mark.line, key.start_mark.column, row_of(key, value)
        self._known = known


class _Parts:
    """The text's parts, and the warnings about them; `alone` says that each entry can be read by itself."""

    def __init__(self, path: Path, text: str, found: Layout) -> None:
        self._path, self.text, self.found = path, text, found
        self.alone = not found.linked and found.spaces is not None
        self.warnings: list[str] = []
        # Of a registry that is read in pieces, all but the Spaces.
        self._root = _composed(_without_spaces(text, found) if self.alone else text)
        if self._root is not None and not isinstance(self._root, yaml.MappingNode):
            raise BadRequestError(f"{path} is no registry: it has no 'spaces:' mapping")
        for key, _ in _pairs(self._root):
            if key.value not in PARTS:
                self.at(key, f"unknown key '{key.value}': there are 'spaces' and 'categories'")

    def pairs(self, part: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The keys and values of a part."""
        for key, value in _pairs(self._root):
            if key.value == part and not isinstance(value, yaml.MappingNode) and value.value:
                self.at(key, f"'{part}' is not a mapping")
            elif key.value == part:
                return _pairs(value)
        return []

    def at(self, node: yaml.Node, words: str) -> None:
        self.warn(node.start_mark.line, node.start_mark.column, words)

    def warn(self, line: int, column: int, words: str) -> None:
        self.warnings.append(f"{self._path}:{line + 1}:{column + 1}: {words}")


def _without_spaces(text: str, found: Layout) -> str:
    """The text with empty lines where its Spaces are."""
    begin, end = (found.spaces[0].start, found.spaces[-1].end) if found.spaces else (0, 0)
    return text[:begin] + "\n" * text.count("\n", begin, end) + text[end:]


def _composed(text: str) -> yaml.Node | None:
    return yaml.compose(text, LOADER)


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """The keys of a mapping that are words, with their values."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]


def _categories(parts: _Parts, spaces: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, value in parts.pairs("categories"):
        if not isinstance(value, yaml.SequenceNode):
            if value.tag != _NOTHING:
                parts.at(key, f"categories.{key.value}: not a list of names")
            continue
        named = [(str(item.value), item) for item in value.value]
        for name, item in named:
            if name not in spaces:
                parts.at(item, f"categories.{key.value}: no Space '{name}'")
        yield key.value, tuple(name for name, _ in named if name in spaces)


def placed(entry: SpaceEntry, folder: Path) -> SpaceEntry:
    """The entry with its repository's path, which is said from the registry's own folder."""
    if not entry.repository:
        return entry
    return entry.model_copy(update={"repository": str(folder / entry.repository)})
