"""The adapter for apps with a JSON API: describe, choose, build the request, send it, read the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from spacedock.files import Payload
from spacedock_worker.adapters.base import AnswerLimits, AppAnswer, AppCall, OnCallProgress
from spacedock_worker.adapters.binding.choose import choose, weighed
from spacedock_worker.adapters.binding.explain import explained
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.adapters.faults import OF_THE_FILE, app_error, bad_input, unexplained
from spacedock_worker.adapters.http import AppHttp, AppRefusedError
from spacedock_worker.adapters.openapi.description import describe
from spacedock_worker.adapters.openapi.reading import read_answer
from spacedock_worker.adapters.openapi.request import AppRequest, build
from spacedock_worker.adapters.openapi.template import Template
from spacedock_worker.errors import StepError

BUSY = frozenset({429, 503})
_BAD_REQUEST = frozenset({400, 422})
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})


def refused(error: AppRefusedError, endpoint: Endpoint) -> StepError:
    """The app's own words, as kind `bad_input` where they say which parameter is wrong, else `app_error`."""
    faults = _faults(error.told) if error.status in _BAD_REQUEST else []
    if faults:
        return bad_input(f"{endpoint} does not fit: {'; '.join(faults)}")
    words = error.detail
    if error.status in _BAD_REQUEST and _names_one(words, endpoint):
        return bad_input(f"{endpoint} does not fit: {words}")
    if error.status in OF_THE_FILE:
        return bad_input(f"{endpoint} does not take what is sent ({error})")
    if words:
        return app_error(f"{words} (HTTP {error.status})")
    if error.status in BUSY:
        return app_error(f"the app is busy (HTTP {error.status}): try again later")
    if error.status < 400:
        return app_error(
            f"the app sends {endpoint.name} elsewhere (HTTP {error.status}), which is not followed"
        )
    return unexplained(f"the app failed without saying why (HTTP {error.status})")


def _faults(told: Any) -> list[str]:
    """FastAPI's list of what is wrong, as "text: field required"; its `input`, the prompt, is left out."""
    rows = told.get("detail") if isinstance(told, dict) else None
    faults = []
    for row in rows if isinstance(rows, list) else ():
        match row:
            case {"loc": list(place), "msg": str(message)}:
                faults.append(f"{_place(place)}: {_lowered(message)}")
    return faults


def _place(parts: list[Any]) -> str:
    return ".".join(map(str, parts[1:] if len(parts) > 1 and parts[0] in _PLACES else parts))


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _names_one(words: str, endpoint: Endpoint) -> bool:
    said = set(re.findall(r"\w+", words.lower()))
    return any(slot.name.lower() in said for slot in endpoint.slots)


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
        limits: AnswerLimits | None = None,
    ) -> None:
        self.abandoned = False
        self._http, self._limits = http, limits or AnswerLimits()
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

    async def call(self, call: AppCall, on_progress: OnCallProgress) -> AppAnswer:
        """Call the operation that fits; see `Adapter.call`. The caller bounds the time."""
        choice = await weighed(choose, self.endpoints, call)
        log.info("openapi.endpoint_chosen", endpoint=choice.endpoint.name)
        request = self._builds[choice.endpoint.name](choice.filling.data, call.files)
        on_progress("running")
        pauses = iter(PAUSES)
        while True:
            try:
                answer = await self._ask(request, choice.endpoint)
                return replace(answer, honoured=choice.filling.honoured)
            except AppRefusedError as error:
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
