"""Calling a function without the app's queue: one request, one answer; and which endpoints allow it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding.choose import Choice, choose
from spacedock_worker.adapters.binding.fill import fill
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.faults import CannotFillError, bad_output
from spacedock_worker.adapters.gradio.description import App, Function
from spacedock_worker.adapters.gradio.events import Follower, failure, outputs_of
from spacedock_worker.adapters.gradio.transport import Posting
from spacedock_worker.adapters.gradio.wire import WEBSOCKET
from spacedock_worker.adapters.http import AppHttp, AppRefusedError

_REMEMBERED = 256


@dataclass(slots=True)
class LearnedEndpoints:
    """The endpoint that calls of one shape go to, and which endpoints answer the same without the queue.

    `direct` has True where they did, False where they did not; an endpoint that is not there is not known.
    `paged` are those of chats that give their callers objects, and have to be asked as the page asks.
    """

    direct: dict[str, bool] = field(default_factory=dict)
    paged: set[str] = field(default_factory=set)
    _chosen: OrderedDict[object, str] = field(default_factory=OrderedDict)

    def choose(self, endpoints: Sequence[Endpoint], call: AppCall) -> Choice:
        """As `choice.choose`, which weighs the endpoints once for each shape of a call."""
        shape = _shape(call)
        name = self._chosen.get(shape)
        known = next((endpoint for endpoint in endpoints if endpoint.name == name), None)
        if known is not None:
            # What fitted a call of that shape may not take this one's values.
            with suppress(CannotFillError):
                return Choice(known, fill(known, call))
        choice = choose(endpoints, call)
        self._chosen[shape] = choice.endpoint.name
        while len(self._chosen) > _REMEMBERED:
            self._chosen.popitem(last=False)
        return choice


def _shape(call: AppCall) -> object:
    """What two calls have in common that go to the same endpoint."""
    files = tuple((file.ref.media_type, PurePosixPath(file.ref.name).suffix) for file in call.files)
    return call.endpoint, bool(call.prompt.strip()), files, tuple(sorted(call.inputs))


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
