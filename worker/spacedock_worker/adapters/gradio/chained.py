"""What a page does after a function: the answer often comes from a second one (pure).

In hand-made chats, sending a message only puts it into the conversation; another function follows that event
and writes the answer. Others fill a State, and a second function shows it. The page calls these by itself, so
whoever calls for the page must do so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.gradio.description import App, Function


def follow_up(
    app: App, function: Function, sent: Sequence[Any], outputs: Sequence[Any]
) -> tuple[Function, list[Any]] | None:
    """The function that follows where a conversation or a State alone has come, and what to send to it.

    `sent` and `outputs` are what `function` took and gave, by position. None where nothing is missing.
    """
    waits = any(map(_waits, function.endpoint.outputs, outputs))
    if not waits and not function.endpoint.leads:
        return None
    page = dict(zip(function.inputs, sent, strict=False))
    page |= {
        i: v["value"] if _is_update(v) else v
        for i, v in zip(function.outputs, outputs, strict=False)
        if _is_set(v)
    }
    following = [other for other in app.functions.values() if other.fn_index in function.followers]
    for follower in following:
        if "chatbot" in follower.endpoint.outputs if waits else kinds.gives_answer(follower.endpoint):
            return follower, _data(follower, page)
    further = None if waits else next((other for other in following if other.endpoint.leads), None)
    return (further, _data(further, page)) if further else None


def _data(function: Function, page: dict[int, Any]) -> list[Any]:
    defaults = {slot.position: slot.default for slot in function.endpoint.slots}
    return [page.get(i, defaults.get(place)) for place, i in enumerate(function.inputs)]


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
