"""Calling a function without the app's queue: one request, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from spacedock_worker.adapters.faults import bad_output
from spacedock_worker.adapters.gradio.description import App, Function
from spacedock_worker.adapters.gradio.events import Follower, failure, outputs_of
from spacedock_worker.adapters.gradio.transport import Posting
from spacedock_worker.adapters.gradio.wire import WEBSOCKET
from spacedock_worker.adapters.http import AppHttp, AppRefusedError

PATIENCE_SECONDS = 0.2


class Gate:
    """A direct call is alone in the app; calls by the queue share it, since the queue orders them itself.

    No description tells how many calls at a time a function bears, and Gradio's default is one. A call that
    would go directly waits a moment for those in the queue, and goes by the queue where they take longer.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        # Waiters come in the order of their arrival, so neither kind starves the other.
        self._door = asyncio.Lock()
        self._queued = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._patience, self._waited = patience, False

    @asynccontextmanager
    async def enter(self, *, direct: bool) -> AsyncIterator[bool]:
        """Wait until a call may go; whether it may go directly, as it would like to."""
        async with self._door:
            if direct and await self._emptied():
                yield True
                return
            self._queued += 1
            self._empty.clear()
        try:
            yield False
        finally:
            self._queued -= 1
            if not self._queued:
                self._empty.set()
                self._waited = False

    async def _emptied(self) -> bool:
        """Whether nobody is in the queue, or nobody soon; one that takes long is waited for once."""
        if not self._waited:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._empty.wait()
            self._waited = not self._empty.is_set()
        return self._empty.is_set()


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
    return bool(data) and all(value is not None and value not in ("", [], {}) for value in data)


class Direct:
    """`POST /run/…`, which every version has; an app may refuse it for functions that have a queue."""

    def __init__(self, http: AppHttp, prefix: str, max_bytes: int) -> None:
        self._http, self._prefix, self._max = http, prefix, max_bytes

    async def call(self, posting: Posting, follower: Follower) -> list[Any]:
        """See `Transport.call`. Raises RefusedError too, where the app does not take calls this way."""
        follower.started = True
        try:
            # The name in the path counts for nothing where the index is there.
            output = await self._http.post_json(
                f"{self._prefix}/run/predict", posting.body, self._max, patient=True
            )
        except AppRefusedError as error:
            follower.completed = True
            if error.status != 500:
                raise
            raise failure(error.told) from error
        follower.completed = True
        outputs = outputs_of({"output": output})
        return [_first(value) for value in outputs] if posting.batched else outputs


def _first(values: Any) -> Any:
    """One output of a batch of one."""
    if isinstance(values, list) and values:
        return values[0]
    raise bad_output("the app gave no batch where it was asked for one")
