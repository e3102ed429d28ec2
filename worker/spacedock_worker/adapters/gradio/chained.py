"""What a page does after a function: the answer often comes from a second one (pure).

In hand-made chats, sending a message only puts it into the conversation; another function follows that event
and writes the answer. Others fill a State, and a second function shows it, or only empty their box first. Or
they tell a status first, and the next of their chain writes the result beside it. The page calls these by
itself, so whoever calls for the page must do so too.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.gradio.description import App, Function
from spacedock_worker.adapters.gradio.rendering import Axes

MOST_STEPS = 10
"""Functions of one chain that are looked at."""

# What Python writes for an object, a tuple with a path, and Gradio's own messages.
_OBJECT = re.compile(
    r"<[\w.]+ [^<>]{0,200}at 0x[0-9a-f]+>|\AChatMessage\(|\A\('[^']*',\)\Z|\A\{'(?:text|path|role|content)': "
)

_STATUS = frozenset({"textbox", "markdown", "html"})
_UNSET: Any = object()


def is_said(value: Any) -> bool:
    """Whether what a chat gives its callers are words; else only its page makes something of it."""
    match value:
        case None | bool() | int() | float():
            return True
        case str():
            return _OBJECT.search(value) is None
        case {"role": _, "content": str(content)}:
            return is_said(content)
    return False


def follow_up(
    app: App, function: Function, page: dict[int, Any], outputs: Sequence[Any]
) -> tuple[Function, list[Any]] | None:
    """The function that follows where no answer has come yet, and what to send to it; None at the end.

    `page` holds what stands in the components, by their ids; `outputs`, what `function` gave, are put there.
    """
    _put(page, function, outputs)
    waits = any(map(_waits, function.endpoint.outputs, outputs))
    emptied = not waits and _only_empties(function, outputs)
    shows = any(_is_update(value) and value.get("visible") is True for value in outputs)
    if not waits and not emptied and (shows or not function.endpoint.leads):
        return None
    following = [other for other in app.functions.values() if other.fn_index in function.followers]
    for follower in following:
        if waits:
            answers = "chatbot" in follower.endpoint.outputs
        else:
            answers = not follower.endpoint.leads and kinds.gives_answer(follower.endpoint)
            answers = answers and bool(_told(follower) - set(function.inputs))
        if answers:
            return follower, data_of(follower, page)
    further = None if waits else next((other for other in following if other.endpoint.leads), None)
    return (further, data_of(further, page)) if further else None


class Chain:
    """The rest of a chain of functions, as the page runs them, and what it shows in the end.

    `first` has answered already, with `outputs`; `page` is as `follow_up` left it. A function that only does
    chores, such as emptying the boxes that a person fills, is passed over.
    """

    def __init__(self, app: App, first: Function, outputs: list[Any], page: dict[int, Any]) -> None:
        self._app, self._first, self._outputs, self._page = app, first, outputs, page
        self._given, self._read, self._stale = set(first.inputs), set[int](), set[int]()
        self._shown: dict[int, tuple[str | None, Any, Axes]] = {}
        self._later: set[int] = set()
        self._next = deque(first.chain)
        self._steps = MOST_STEPS
        self._show(first, outputs)

    def following(self) -> tuple[Function, list[Any]] | None:
        """The next function that adds to the answer, and what to send to it; None at the end."""
        while self._next and self._steps:
            self._steps -= 1
            function = self._app.numbered(self._next.popleft())
            if function is None:
                continue
            self._next.extend(function.chain)
            if self._adds(function):
                self._read |= set(function.inputs)
                return function, data_of(function, self._page)
            self._stale |= _told(function)
        return None

    def answered(self, function: Function, outputs: list[Any]) -> None:
        """Take what the function has answered."""
        _put(self._page, function, outputs)
        self._later |= self._show(function, [v if _is_set(v) else _UNSET for v in outputs])

    @property
    def has_result(self) -> bool:
        """Whether more is shown than texts, any of which may be a status."""
        shown = ((kind, v.get("value") if _is_update(v) else v) for kind, v, _ in self._shown.values())
        return any(kind is not None and kind not in _STATUS and value for kind, value in shown)

    def whole(self) -> tuple[Function, list[Any]]:
        """The first function with the outputs of all, each by its last value.

        A text that the first one wrote, that none read, and that is overwritten in the end, was a status.
        """
        if not self._later:
            return self._first, self._outputs
        gone = (self._stale & self._shown.keys()) - self._read - self._later
        rows = {i: row for i, row in self._shown.items() if i not in gone or row[0] not in _STATUS}
        kinds_, values, axes = zip(*rows.values(), strict=True)
        endpoint = replace(self._first.endpoint, outputs=kinds_)
        return replace(self._first, endpoint=endpoint, outputs=tuple(rows), axes=axes), list(values)

    def _adds(self, function: Function) -> bool:
        """Whether it shows something new, or works on what is shown, or leads to such a one."""
        if function.endpoint.leads:
            return True
        told = _told(function) - self._given
        if not kinds.gives_answer(function.endpoint) or not told:
            return False
        return bool(told - self._shown.keys() or self._shown.keys() & set(function.inputs))

    def _show(self, function: Function, outputs: Sequence[Any]) -> set[int]:
        """Note what is shown now; which components those are that show something."""
        rows = zip_longest(function.outputs, function.endpoint.outputs, outputs, function.axes)
        found = {i: (kind, value, axes or {}) for i, kind, value, axes in rows if value is not _UNSET}
        self._shown |= found
        return {i for i, (kind, _, _) in found.items() if kind is not None}


def data_of(function: Function, page: dict[int, Any]) -> list[Any]:
    """What the page sends to the function."""
    defaults = {slot.position: slot.default for slot in function.endpoint.slots}
    return [page.get(i, defaults.get(place)) for place, i in enumerate(function.inputs)]


def _put(page: dict[int, Any], function: Function, outputs: Sequence[Any]) -> None:
    """Put what the function gave where it belongs on the page."""
    page |= {
        i: v["value"] if _is_update(v) else v
        for i, v in zip(function.outputs, outputs, strict=False)
        if _is_set(v)
    }


def _told(function: Function) -> set[int]:
    """The components that it writes to before the eyes of a person."""
    pairs = zip(function.outputs, function.endpoint.outputs, strict=False)
    return {component for component, kind in pairs if kind is not None}


def _only_empties(function: Function, outputs: Sequence[Any]) -> bool:
    """Whether it has put what it read into a State, and only emptied the boxes that it read."""
    pairs = list(zip(function.endpoint.outputs, outputs, strict=False))
    return (
        any(kind is None for kind, _ in pairs)
        and _told(function) <= set(function.inputs)
        and all(_is_blank(value) for kind, value in pairs if kind is not None)
    )


def _is_blank(value: Any) -> bool:
    if _is_update(value):
        value = value.get("value")
    return value in (None, "", []) or value == {"text": "", "files": []}


def _waits(component: str | None, value: Any) -> bool:
    """Whether a conversation ends with the words of the user: a pair without an answer, or their message."""
    if _is_update(value):
        value = value.get("value")
    if component != "chatbot" or not isinstance(value, list):
        return False
    match value[-1:]:
        case [[_, None]] | [{"role": "user"}]:
            return True
    return False


def _is_update(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update"


def _is_set(value: Any) -> bool:
    return not _is_update(value) or "value" in value
