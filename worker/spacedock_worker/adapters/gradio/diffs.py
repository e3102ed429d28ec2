"""The edits by which Gradio (protocol sse_v2 and later) sends an answer that grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class BadEditError(Exception):
    """An edit does not fit the value that it edits."""


def applied(value: Any, edits: object) -> Any:
    """`value` after `edits`, a list of [action, path, new]; the path leads through keys and indices.

    `value` itself may be changed. Raises BadEditError where the edits are not edits, or do not fit.
    """
    if not isinstance(edits, list):
        raise BadEditError
    for edit in edits:
        match edit:
            case [str(action), list(path), new]:
                value = _edited(value, action, path, new)
            case _:
                raise BadEditError
    return value


def _edited(value: Any, action: str, path: Sequence[Any], new: Any) -> Any:
    try:
        if not path:
            return value + new if action == "append" else new
        *way, last = path
        place = value
        for step in way:
            place = place[step]
        if action == "replace":
            place[last] = new
        elif action == "append":
            place[last] += new
        elif action == "delete":
            del place[last]
        elif isinstance(place, list):
            place.insert(last, new)
        else:
            place[last] = new
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError) as error:
        raise BadEditError from error
    return value
