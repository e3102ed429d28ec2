"""The adapter for apps with a JSON API: describe, choose, build the request, send it, read the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from spacedock.files import Payload
from spacedock_worker.adapters.base import AppAnswer, AppCall, OnProgress
from spacedock_worker.adapters.choice import choose, weighed
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.explaining import explained
from spacedock_worker.adapters.http import AppHttp, RefusedError
from spacedock_worker.adapters.limits import Limits
from spacedock_worker.adapters.openapi.description import describe
from spacedock_worker.adapters.openapi.reading import read_answer
from spacedock_worker.adapters.openapi.refusal import BUSY, refused
from spacedock_worker.adapters.openapi.request import AppRequest, build
from spacedock_worker.adapters.openapi.template import Template

# Seconds before each further try of an app that says that it is busy, unless it says how long.
PAUSES = (0.5, 1.5, 4.0)
LONGEST_PAUSE = 10.0

Build = Callable[[Sequence[Any], Sequence[Payload]], AppRequest]

log = structlog.get_logger()


class OpenApiAdapter:
    """Calls one running app by its API: as its document describes it, or as the registry's template says.

    It owns `http` and closes it. A template takes the document's place; without one, StepError of kind
    `bad_output` is raised where the document is none.
    """

    def __init__(
        self,
        http: AppHttp,
        document: object | None,
        template: Template | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.abandoned = False
        self._http, self._limits = http, limits or Limits()
        self._pointer = template.response if template else None
        self._builds: dict[str, Build] = {}
        self.endpoints: tuple[Endpoint, ...] = ()
        if template is not None:
            self.endpoints = (template.endpoint,)
            self._builds[template.path] = template.request
            return
        for operation in describe(document):
            self.endpoints += (operation.endpoint,)
            self._builds[operation.endpoint.name] = partial(build, operation)

    async def call(self, call: AppCall, on_progress: OnProgress) -> AppAnswer:
        """Call the operation that fits; see `Adapter.call`. The caller bounds the time."""
        choice = await weighed(choose, self.endpoints, call)
        log.info("openapi.endpoint_chosen", endpoint=choice.endpoint.name)
        request = self._builds[choice.endpoint.name](choice.filling.data, call.files)
        on_progress("running")
        pauses = iter(PAUSES)
        while True:
            try:
                return await self._ask(request, choice.endpoint)
            except RefusedError as error:
                pause = next(pauses, None)
                if error.status not in BUSY or pause is None:
                    raise refused(error, choice.endpoint) from error
                wait = min(error.retry_after or pause, LONGEST_PAUSE)
            on_progress("the app is busy")
            await asyncio.sleep(wait)

    async def explain(self, call: AppCall) -> AppAnswer:
        """The choice of the operation with its reasons; see `Adapter.explain`."""
        return await weighed(explained, self.endpoints, call)

    async def aclose(self) -> None:
        """Close the connections; safe to call twice."""
        await self._http.aclose()

    async def _ask(self, request: AppRequest, endpoint: Endpoint) -> AppAnswer:
        # An API is silent while it computes; the caller alone knows for how long it may.
        asking = self._http.request(request.method, request.path, data=request.data(), patient=True)
        try:
            async with asking as response:
                return await read_answer(response, endpoint.name, self._limits, self._pointer)
        except asyncio.CancelledError:
            # Nothing proves that an API stops working when its caller has gone.
            self.abandoned = True
            raise
