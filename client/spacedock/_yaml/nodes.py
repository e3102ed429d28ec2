"""The nodes of a YAML text: where a value stands, which key is there twice, what a node's value is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from spacedock.errors import BadRequestError

# libyaml's are ten times as fast: a registry is read again between two jobs.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NO_VALUES = (ValueError, LookupError, AttributeError)
"""What PyYAML raises for a scalar that has the form of its type, and no value."""

_NO_VALUE = "it has a date or a number that does not exist. Put it in quotes if it is a text"


class NodePlace(NamedTuple):
    """Where a path leads: what to point at, the value there, and how much of the path the YAML has."""

    at: yaml.Node
    value: yaml.Node
    path: list[str]


def composed(text: str, name: str) -> yaml.Node | None:
    """The nodes of a text; None if it is empty. Raises BadRequestError where it is not YAML."""
    try:
        root: yaml.Node | None = yaml.compose(text, LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise BadRequestError(f"{name}{place}: {unreadable(text, error)}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadRequestError(f"{name}: not YAML: {error}") from error
    return root


def unreadable(text: str, error: yaml.MarkedYAMLError) -> str:
    """What is wrong with a text that is not YAML."""
    lines, mark = text.splitlines(), error.problem_mark
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    return "a tab: indent with spaces" if line.lstrip(" ").startswith("\t") else f"not YAML: {error.problem}"


def plain(node: yaml.Node) -> Any:
    """The node's value. Raises yaml.MarkedYAMLError."""
    try:
        return LOADER("").construct_document(node)
    except _NO_VALUES as error:
        raise yaml.MarkedYAMLError(problem=_NO_VALUE, problem_mark=node.start_mark) from error
    except RecursionError as error:
        raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=node.start_mark) from error


def twins(node: yaml.MappingNode) -> tuple[yaml.Node, ...]:
    """The keys that the mapping has already had: YAML would let the last one win."""
    seen: set[str] = set()
    found = []
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                found.append(key)
            seen.add(key.value)
    return tuple(found)


def locate(node: yaml.Node, path: Sequence[int | str]) -> NodePlace:
    """The place as far down as the YAML goes; what pydantic adds to the path is no part of it."""
    place = NodePlace(node, node, [])
    for part in path:
        found = child(place.value, part)
        if found is None:
            break
        place = NodePlace(*found, [*place.path, str(part)])
    return place


def child(node: yaml.Node, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    """What to point at for a part of a path, and what is below it."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if getattr(key, "value", None) == str(part):
                return key, value
    return None
