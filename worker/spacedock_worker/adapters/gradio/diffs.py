"""The edits by which Gradio (protocol sse_v2 and later) sends an answer that grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WORK = 2**24
"""What the edits of one message may cost: characters and items that are copied or moved (about 20 ms)."""

_EACH = 500


class BadEditError(Exception):
    """An edit does not fit the value that it edits, or the edits are too much work."""


class Editor:
    """Makes the edits of one message, within its bound of work."""

    def __init__(self, work: int = WORK) -> None:
        self._left = work

    def applied(self, value: Any, edits: object) -> Any:
        """`value` after `edits`, a list of [action, path, new]; the path leads through keys and indices.

        `value` itself may be changed. Raises BadEditError where the edits are not edits, do not fit, or are
        more than the bound allows.
        """
        if not isinstance(edits, list):
            raise BadEditError
        for edit in edits:
            match edit:
                case [str(action), list(path), new]:
                    self._spend(_EACH + len(path))
                    value = self._edited(value, action, path, new)
                case _:
                    raise BadEditError
        return value

    def _edited(self, value: Any, action: str, path: Sequence[Any], new: Any) -> Any:
        try:
            if not path:
                return self._sum(value, new) if action == "append" else new
            *way, last = path
            place = value
            for step in way:
                place = place[step]
            if action == "replace":
                place[last] = new
            elif action == "append":
                place[last] = self._sum(place[last], new)
            elif action == "delete":
                self._spend(len(place))
                del place[last]
            elif isinstance(place, list):
                self._spend(len(place))
                place.insert(last, new)
            else:
                place[last] = new
        except (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError) as error:
            raise BadEditError from error
        return value

    def _sum(self, old: Any, new: Any) -> Any:
        """Both together: a text, or a list, that is copied with every edit."""
        self._spend(len(old) if isinstance(old, str | list) else 0)
        return old + new

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise BadEditError
