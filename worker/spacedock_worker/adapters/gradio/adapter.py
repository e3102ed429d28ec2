"""The adapter for Gradio apps, 3.35 to 6: describe, choose, upload, call, read, download."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters import offload
from spacedock_worker.adapters.base import AnswerLimits, AppAnswer, AppCall, OnCallProgress
from spacedock_worker.adapters.binding.choose import weighed
from spacedock_worker.adapters.binding.explain import explained
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.faults import app_error
from spacedock_worker.adapters.gradio.chained import Chain, data_of, follow_up, is_said
from spacedock_worker.adapters.gradio.description import App, Function
from spacedock_worker.adapters.gradio.direct import (
    SHORT_SECONDS,
    Direct,
    Gate,
    LearnedEndpoints,
    has_no_queue,
    may_be_direct,
    says_enough,
)
from spacedock_worker.adapters.gradio.events import Follower
from spacedock_worker.adapters.gradio.files import Uploads, downloaded
from spacedock_worker.adapters.gradio.output import read_outputs
from spacedock_worker.adapters.gradio.transport import (
    Posting,
    SseQueue,
    SseStream,
    Transport,
    WebSocketQueue,
    call_patiently,
)
from spacedock_worker.adapters.gradio.wire import WEBSOCKET
from spacedock_worker.adapters.http import AppHttp, AppRefusedError
from spacedock_worker.errors import StepError, UnexplainedError

log = structlog.get_logger()

QUEUES: dict[str, Callable[[AppHttp, str, int], Transport]] = {
    WEBSOCKET: WebSocketQueue,
    "sse": SseStream,
    "sse_v1": SseQueue,
    "sse_v2": SseQueue,
    "sse_v2.1": SseQueue,
    "sse_v3": SseQueue,
}
EDITING = frozenset({"sse_v2", "sse_v2.1", "sse_v3"})


COMPARE_SECONDS = 5.0
MOST_FOLLOW_UPS = 5
AGAIN_SECONDS = 10.0
"""A chat that fails without a word after longer is not asked again by its page."""


class GradioAdapter:
    """Calls one running Gradio app; `memory` is shared by all that run the same image.

    A short function that answers the same without the app's queue is called without it from then on: that
    is learned by comparing once (unless `direct` is off), and given up where it fails or takes long.
    """

    def __init__(
        self,
        http: AppHttp,
        app: App,
        memory: LearnedEndpoints | None = None,
        limits: AnswerLimits | None = None,
        *,
        direct: bool = True,
    ) -> None:
        self.app = app
        self._learns = direct
        self.abandoned = False
        self._http, self._memory, self._limits = http, memory or LearnedEndpoints(), limits or AnswerLimits()
        self._queue = _queue_of(app, http, self._limits)
        self._direct = Direct(http, app.prefix, self._limits.answer)
        self._gate = Gate()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """See `Adapter.endpoints`."""
        return tuple(self.app.endpoints)

    async def call(self, call: AppCall, on_progress: OnCallProgress) -> AppAnswer:
        """Call the endpoint that fits; see `Adapter.call`."""
        choice = await weighed(self._memory.choose, self.app.endpoints, call)
        function = self.app.functions[choice.endpoint.name]
        if call.endpoint is not None:
            # Who names a function wants its answer, and not that of the button which calls it.
            function = replace(function, chain=())
        log.debug("gradio.endpoint_chosen", endpoint=choice.endpoint.name, version=self.app.version)
        data = await Uploads(self._http, self.app, call.files).written(choice.endpoint, choice.filling.data)
        try:
            answer = await self._called(function, data, on_progress)
            return replace(answer, honoured=choice.filling.honoured)
        except StepError as error:
            if error.kind is not ErrorKind.APP_ERROR or not choice.filling.blanks:
                raise
            why = f"{error}; nothing was given for {', '.join(choice.filling.blanks)}"
            raise error.copy(why) from error

    async def _called(self, function: Function, data: list[Any], on_progress: OnCallProgress) -> AppAnswer:
        proven = self._memory.direct.get(function.endpoint.name) is True
        async with self._gate.enter(direct=proven) as direct:
            if direct and (answer := await self._directly(function, data, on_progress)):
                return answer
            started = monotonic()
            answer = await self._as_the_page(function, data, on_progress)
            seconds = monotonic() - started
        await self._learn(function, data, answer, seconds)
        return answer

    async def explain(self, call: AppCall) -> AppAnswer:
        """See `Adapter.explain`."""
        return await weighed(explained, self.app.endpoints, call)

    async def aclose(self) -> None:
        """See `Adapter.aclose`."""
        await self._http.aclose()

    async def _as_the_page(
        self, function: Function, data: list[Any], on_progress: OnCallProgress
    ) -> AppAnswer:
        try:
            return await self._asked(function, data, on_progress)
        except AppRefusedError as error:
            raise app_error(f"the app refused the call ({error})") from error

    async def _directly(
        self, function: Function, data: list[Any], on_progress: OnCallProgress
    ) -> AppAnswer | None:
        """The answer without the queue; None, and never again, where the app refuses."""
        started = monotonic()
        try:
            answer = await self._asked(function, data, on_progress, direct=True)
        except AppRefusedError as error:
            self._remember(function, same=False, why=f"refused with HTTP {error.status}")
            return None
        if monotonic() - started > SHORT_SECONDS:
            self._remember(function, same=False, why="it takes long")
        return answer

    async def _learn(self, function: Function, data: list[Any], answer: AppAnswer, seconds: float) -> None:
        """Make the call once more without the queue, and remember whether it gave the same."""
        known = function.endpoint.name in (*self._memory.direct, *self._memory.paged)
        if (
            known
            or not self._learns
            or not may_be_direct(self.app, function, seconds)
            or not says_enough(answer.data)
        ):
            return
        async with self._gate.enter(direct=True) as alone:
            if not alone or function.endpoint.name in self._memory.direct:
                return
            try:
                async with asyncio.timeout(COMPARE_SECONDS):
                    again = await self._asked(function, data, _unheard, direct=True)
            except (StepError, AppRefusedError, TimeoutError) as error:
                # Its words may quote the call, which no log may.
                self._remember(function, same=False, why=type(error).__name__)
            else:
                self._remember(function, same=again == answer, why="compared")

    def _remember(self, function: Function, *, same: bool, why: str) -> None:
        self._memory.direct[function.endpoint.name] = same
        log.info("gradio.direct_learned", endpoint=function.endpoint.name, direct=same, why=why)

    async def _asked(
        self, function: Function, data: list[Any], on_progress: OnCallProgress, *, direct: bool = False
    ) -> AppAnswer:
        """The function's answer; that of a chat as its page shows it, where what callers get is no text."""
        name, started = function.endpoint.name, monotonic()
        failure: StepError | None = None
        last = function
        outputs: list[Any] = []
        if name not in self._memory.paged:
            page = dict(zip(function.inputs, data, strict=False))
            try:
                last, outputs = await self._walked(function, data, page, on_progress, direct)
            except UnexplainedError as error:
                if function.page is None or monotonic() - started > AGAIN_SECONDS:
                    raise
                # An object that cannot be written as JSON fails without a word, too.
                failure = error
            if failure is None and (function.page is None or all(map(is_said, outputs[:1]))):
                return await self._read(name, last, outputs)
        if (answer := await self._on_page(function, data, on_progress)) is not None:
            return answer
        if failure is not None:
            raise failure
        return await self._read(name, last, outputs)

    async def _on_page(
        self, function: Function, data: list[Any], on_progress: OnCallProgress
    ) -> AppAnswer | None:
        """The answer of a chat as its page shows it; None where that fails as well."""
        name, page = function.endpoint.name, dict(zip(function.inputs, data, strict=False))
        entry = None if function.page is None else self.app.numbered(function.page)
        if entry is None or not self._learns:
            return None
        try:
            last, outputs = await self._walked(entry, data_of(entry, page), page, on_progress)
        except StepError as error:
            if error.kind is not ErrorKind.APP_ERROR or name in self._memory.paged:
                raise
            return None
        if "chatbot" not in last.endpoint.outputs:
            return None
        self._memory.paged.add(name)
        return await self._read(name, last, outputs)

    async def _walked(
        self,
        function: Function,
        data: list[Any],
        page: dict[int, Any],
        on_progress: OnCallProgress,
        direct: bool = False,
    ) -> tuple[Function, list[Any]]:
        """The outputs of the function, or of what follows where they are no answer yet, and of its chain."""
        session = uuid.uuid4().hex
        posting = Posting(function.fn_index, data, session, function.batch)
        outputs = await self._outputs(function, posting, on_progress, direct)
        for _ in range(MOST_FOLLOW_UPS):
            if (following := follow_up(self.app, function, page, outputs)) is None:
                break
            function, data = following
            outputs = await self._outputs(function, Posting(function.fn_index, data, session), on_progress)
        if len(outputs) != len(function.endpoint.outputs):
            return function, outputs
        chain = Chain(self.app, function, outputs, page)
        while (step := chain.following()) is not None:
            try:
                more = await self._outputs(step[0], Posting(step[0].fn_index, step[1], session), on_progress)
            except StepError as error:
                # The page keeps the picture that it shows when a log of it cannot be written.
                if error.kind is not ErrorKind.APP_ERROR or not chain.has_result:
                    raise
                log.info("gradio.chain_failed", endpoint=step[0].endpoint.name)
                break
            chain.answered(step[0], more)
        return chain.whole()

    async def _read(self, name: str, function: Function, outputs: list[Any]) -> AppAnswer:
        reading = await offload.read(read_outputs, function.endpoint.outputs, outputs, function.axes)
        files = await downloaded(self._http, self.app.prefix, reading.files, self._limits)
        return AppAnswer(name, reading.text, reading.data, files, reading.truncated)

    async def _outputs(
        self, function: Function, posting: Posting, on_progress: OnCallProgress, direct: bool = False
    ) -> list[Any]:
        transport = self._direct if direct or has_no_queue(self.app, function) else self._queue
        edits = self.app.protocol in EDITING
        follower = Follower(on_progress, function.endpoint.outputs, edits)
        try:
            return await call_patiently(transport, posting, follower)
        finally:
            self.abandoned = self.abandoned or follower.at_work


def _queue_of(app: App, http: AppHttp, limits: AnswerLimits) -> Transport:
    if (maker := QUEUES.get(app.protocol)) is not None:
        return maker(http, app.prefix, limits.answer)
    message = (
        f"the app runs Gradio {app.version} with the protocol '{app.protocol}', which is not known here. "
        "Spacedock speaks Gradio 3.35 to 6."
    )
    raise StepError(Stage.READY, ErrorKind.UNSUPPORTED, message)


def _unheard(message: str, partial: str | None = None) -> None:
    pass
