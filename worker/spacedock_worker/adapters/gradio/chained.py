"""What a page does after a function: the answer often comes from a second one (pure).

In hand-made chats, sending a message only puts it into the conversation; another function follows that event
and writes the answer. Others fill a State, and a second function shows it, or only empty their box first. The
page calls these by itself, so whoever calls for the page must do so too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.gradio.description import App, Function

# What Python writes for an object, a tuple with a path, and Gradio's own messages.
_OBJECT = re.compile(
    r"<[\w.]+ [^<>]{0,200}at 0x[0-9a-f]+>|\AChatMessage\(|\A\('[^']*',\)\Z|\A\{'(?:text|path|role|content)': "
)


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
    page |= {
        i: v["value"] if _is_update(v) else v
        for i, v in zip(function.outputs, outputs, strict=False)
        if _is_set(v)
    }
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


def data_of(function: Function, page: dict[int, Any]) -> list[Any]:
    """What the page sends to the function."""
    defaults = {slot.position: slot.default for slot in function.endpoint.slots}
    return [page.get(i, defaults.get(place)) for place, i in enumerate(function.inputs)]


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
