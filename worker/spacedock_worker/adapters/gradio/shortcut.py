"""When a function may be called without the app's queue (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spacedock_worker.adapters.gradio.description import App, Function
from spacedock_worker.adapters.gradio.wire import WEBSOCKET

SHORT_SECONDS = 1.0
"""A longer call goes by the queue: there it tells its progress, and the queue costs little beside it."""


def has_no_queue(app: App, function: Function) -> bool:
    """Whether the page itself calls the function without the queue, and must.

    Gradio 3 hangs otherwise; later versions take any function into the queue. 4.8 never comes out of its
    queue again after a batch of one, so that goes past it everywhere.
    """
    unqueued = app.protocol == WEBSOCKET and (function.queue is False or not app.queued)
    return function.batch or (unqueued and not function.generator)


def may_be_direct(app: App, function: Function, seconds: float) -> bool:
    """Whether a function whose call took `seconds` is worth comparing: a direct call has one answer only."""
    return not function.generator and not has_no_queue(app, function) and seconds <= SHORT_SECONDS


def says_enough(data: Sequence[Any]) -> bool:
    """Whether an answer can prove that two ways agree: an empty output is the same by any way."""
    return all(value is not None and value not in ("", [], {}) for value in data)
