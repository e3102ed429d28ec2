"""One entry of a registry.yaml: from its YAML to a Space, or to what is wrong with it, and where (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from spacedock._yaml.nodes import child, locate, plain, twins
from spacedock.request import OWN_PREFIX
from spacedock_worker.registry.entry import SpaceEntry

_READ_OTHERWISE = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp")}


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
    for field, value in node.value if isinstance(node, yaml.MappingNode) else ():
        try:
            plain(value)
        except yaml.MarkedYAMLError:
            found: yaml.Node = field
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
    reason = error["msg"].removeprefix("Value error, ")
    return at, f"{name}: {reason}" if name else reason
