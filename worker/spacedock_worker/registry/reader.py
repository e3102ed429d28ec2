"""Reading the text of a registry.yaml: every Space that can be, and of the rest what is wrong, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from spacedock._wire.wire import uncollected, words_of
from spacedock._yaml.nodes import child, composed, locate, plain, twins
from spacedock.errors import BadRequestError
from spacedock.request import OWN_PREFIX
from spacedock_worker.registry.entry import SpaceEntry

_REMOVED = "removed"
_PARTS = ("spaces", "categories")
_NOTHING = "tag:yaml.org,2002:null"
_READ_OTHERWISE = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp")}


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

    @uncollected()
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


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, so many lines below the entry's key, and at `column` (from 0)."""

    line: int
    column: int
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """What an entry came to: the Space, or its faults."""

    entry: SpaceEntry | None
    faults: tuple[Fault, ...] = ()


def row_of(key: yaml.ScalarNode, value: yaml.Node) -> Row:
    """Read the entry."""
    try:
        fields = plain(value)
    except yaml.MarkedYAMLError as error:
        return Row(None, (_fault(key, _unreadable(value), f"not readable: {error.problem}"),))
    if key.value.startswith(OWN_PREFIX):
        return Row(None, (_fault(key, key, f"a Space's name does not begin with '{OWN_PREFIX}'"),))
    if not isinstance(fields, dict) or not isinstance(value, yaml.MappingNode):
        return Row(None, (_fault(key, key, "not a mapping of fields"),))
    _keep_written(fields.get("env"), child(value, "env"))
    faults = [_fault(key, twice, f"'{twice.value}' is there twice") for twice in twins(value)]
    try:
        entry = SpaceEntry.model_validate({"id": key.value, **fields})
    except ValidationError as error:
        faults += [_fault(key, *_told(item, value)) for item in _distinct(error)]
    return Row(None, tuple(faults)) if faults else Row(entry.model_copy(update={"id": key.value}))


def _keep_written(env: object, found: tuple[yaml.Node, yaml.Node] | None) -> None:
    """Take variables as they are written: YAML reads 007 as 7, yes as true, and 12:30:00 as 45000."""
    if not isinstance(env, dict) or found is None or not isinstance(found[1], yaml.MappingNode):
        return
    for name, scalar in found[1].value:
        if isinstance(scalar, yaml.ScalarNode) and scalar.tag in _READ_OTHERWISE:
            env[plain(name)] = scalar.value


def _unreadable(node: yaml.Node) -> yaml.Node:
    """The first field that cannot be read, else the node."""
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        try:
            plain(value)
        except yaml.MarkedYAMLError:
            found: yaml.Node = name
            return found
    return node


def _fault(key: yaml.Node, at: yaml.Node, words: str) -> Fault:
    return Fault(at.start_mark.line - key.start_mark.line, at.start_mark.column, words)


def _distinct(error: ValidationError) -> Iterable[ErrorDetails]:
    """The errors, of those about one field the first: a union of types gives one for each."""
    details = error.errors(include_url=False, include_input=False)
    return {tuple(item["loc"][:1]): item for item in reversed(details)}.values()


def _told(error: ErrorDetails, entry: yaml.MappingNode) -> tuple[yaml.Node, str]:
    """Where the error is, and its words; values are not repeated, as some are secret."""
    at, _, path = locate(entry, error["loc"])
    name = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = SpaceEntry.model_fields if len(path) == 1 else ()
        close = get_close_matches(path[-1], known, n=1) if path else []
        return at, f"unknown key '{name}'" + (f" (did you mean '{close[0]}'?)" if close else "")
    reason = words_of(error)
    return at, f"{name}: {reason}" if name else reason
