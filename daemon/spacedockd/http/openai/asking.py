"""One request of OpenAI's API as one job: submitted, waited for, and cancelled where the client hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic, time
from typing import Any
from urllib.parse import quote

from aiohttp import web

from spacedock.errors import SpacedockError
from spacedock.files import FileRef, Payload
from spacedock.openai.bodies import WrongAnswerError, failure_of, response_body, wants_files
from spacedock.openai.model_names import ApiRoute, ModelNames, NoSpaceForRouteError, UnknownModelError
from spacedock.openai.registry_names import registry_names
from spacedock.openai.translation import TranslatedRequest, parse_body
from spacedock.prepare import request_of
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedockd.http.access import whose
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.guards import base_of
from spacedockd.http.intake import ReceivedFile

_FRESH_SECONDS, _UNKNOWN_SECONDS = 10.0, 1.0
"""How old the registry's names may be. Another may be a new Space's, so a worker is asked for it first."""
_MAX_UNKNOWN = 1000
MAX_BODY_BYTES = 32 * 2**20
"""A body with files in base64, which is parsed while nothing else is answered."""


@dataclass(slots=True)
class _KnownNames:
    """The names that a route's models had when a worker was asked last."""

    names: ModelNames = field(default_factory=ModelNames)
    read: float | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    unknown: dict[str, float] = field(default_factory=dict)

    def is_fresh(self, model: Any, arrived: float) -> bool:
        """Whether they will do for a request that came then."""
        if self.read is None:
            return False
        if not isinstance(model, str) or self.names.knows(model):
            return arrived - self.read <= _FRESH_SECONDS
        return self.read > arrived or arrived - self.unknown.get(model, -inf) <= _UNKNOWN_SECONDS

    def note(self, model: Any, began: float) -> None:
        """They were asked for then, and for this name."""
        self.read = began
        if isinstance(model, str) and not self.names.knows(model):
            if len(self.unknown) >= _MAX_UNKNOWN:
                self.unknown.clear()
            self.unknown[model] = began


class Asking:
    """Makes jobs of requests."""

    def __init__(self, context: DoorContext) -> None:
        self.context, self._client = context, context.client
        self._known = {route: _KnownNames() for route in ApiRoute}

    async def names(self, route: ApiRoute, model: Any) -> ModelNames:
        """The names that a model may have now, and this one above all. Raises NoWorkerError."""
        known, arrived = self._known[route], monotonic()
        if known.reading.locked() and isinstance(model, str) and known.names.knows(model):
            # A worker may take its time.
            return known.names
        async with known.reading:
            if not known.is_fresh(model, arrived):
                began = monotonic()
                await self._ask_for_names(route, known)
                known.note(model, began)
        return known.names

    async def _ask_for_names(self, route: ApiRoute, known: _KnownNames) -> None:
        try:
            known.names = await registry_names(self._client, self.context.models_as, routes=[route])
        except SpacedockError:
            # Those of before will do: a job may wait for a worker, or is told why it cannot.
            if known.read is None:
                raise

    async def body(self, request: web.Request) -> Any:
        """The JSON that a client has sent. Raises HttpError."""
        return await self.context.intake.json(request, MAX_BODY_BYTES)

    async def read(self, route: ApiRoute, body: Any, files: Sequence[ReceivedFile] = ()) -> TranslatedRequest:
        """What a body asks for; files in it and beside it are stored. Raises HttpError, BadRequestError.

        They are in memory until they are stored, not until the job ends.
        """
        try:
            names = await self.names(route, body.get("model") if isinstance(body, dict) else None)
            if not files:
                # A body may hold many megabytes in base64.
                return await self._stored(await asyncio.to_thread(parse_body, route, body, names))
            async with self.context.intake.loaded(*files) as payloads:
                return await self._stored(await asyncio.to_thread(parse_body, route, body, names, payloads))
        except (UnknownModelError, NoSpaceForRouteError) as error:
            raise HttpError(404, "model_not_found", str(error), param="model") from error

    async def _stored(self, asked: TranslatedRequest) -> TranslatedRequest:
        if not asked.payloads:
            return asked
        made, stored = _request_of(asked)
        await self._client.store(stored)
        return replace(asked, fields={**asked.fields, "files": made.files}, payloads=())

    @asynccontextmanager
    async def submitted(self, request: web.Request, asked: TranslatedRequest) -> AsyncIterator[str]:
        """The id of the job, which is cancelled where the block is left before its end."""
        job_id = await self._client.submit_prepared(*_request_of(asked), name=whose(request))
        try:
            yield job_id
        except BaseException:
            await asyncio.shield(self._cancel(job_id))
            raise

    async def result(self, request: web.Request, asked: TranslatedRequest) -> JobResult:
        """The result of a job. Raises HttpError where it has no answer."""
        async with self.submitted(request, asked) as job_id:
            return succeeded(await self._client.result(job_id))

    async def answer(self, request: web.Request, asked: TranslatedRequest) -> web.Response:
        """The response to a request, in JSON."""
        result = await self.result(request, asked)
        return web.json_response(
            await self.body_of(request, asked, result), headers=headers_of(asked, result)
        )

    async def body_of(
        self, request: web.Request, asked: TranslatedRequest, result: JobResult
    ) -> dict[str, Any]:
        """The body for a result. Raises HttpError for an answer of another kind."""
        files = await self._pictures(result) if wants_files(asked, urls=True) else {}

        def url_of(ref: FileRef) -> str:
            return f"{base_of(request, self.context.settings)}/files/{ref.sha256}"

        try:
            return response_body(asked, result, int(time()), files, url_of)
        except WrongAnswerError as error:
            raise wrong(error, asked) from error

    async def _pictures(self, result: JobResult) -> Mapping[str, bytes]:
        """The bytes of a result's pictures by their digests; nothing else stands in a body."""
        pictures = (ref for ref in result.output.files if ref.media_type.startswith("image/"))
        return {ref.sha256: await self._client.fetch(ref) for ref in pictures}

    async def _cancel(self, job_id: str) -> None:
        # Where the queue is away nobody cancels it, and it is no news to who has hung up.
        with suppress(SpacedockError):
            await self._client.cancel(job_id)


def succeeded(result: JobResult) -> JobResult:
    """The result. Raises HttpError where it has no answer, which no client is to ask for again by itself."""
    if result.succeeded:
        return result
    status, said = failure_of(result)
    error = said["error"]
    raise HttpError(status, error["code"], error["message"], headers=_FINAL | _told(result))


def wrong(error: WrongAnswerError, asked: TranslatedRequest) -> HttpError:
    """The refusal of an answer of another kind than the route gives."""
    return HttpError(502, "wrong_answer", str(error), headers=_FINAL | headers_of(asked, error.result))


_FINAL = {"x-should-retry": "false"}
"""OpenAI's clients ask again after most errors: a job has tried everybody already."""


def headers_of(asked: TranslatedRequest, result: JobResult) -> dict[str, str]:
    """Who answered, and what did not count."""
    by = result.answered_by
    said = _told(result)
    if missing := asked.not_honoured(by.honoured if by else ()):
        said["x-spacedock-not-honoured"] = _plain(",".join(missing))
    return said


def _told(result: JobResult) -> dict[str, str]:
    said = {
        "x-request-id": result.id,
        "x-spacedock-job": result.id,
        "x-spacedock-attempts": str(len(result.attempts)),
        "x-spacedock-degraded": str(result.degraded).lower(),
    }
    if (by := result.answered_by) is not None:
        said |= {"x-spacedock-answered-by": _plain(by.name), "x-spacedock-tier": by.tier.value}
    return said


def _plain(text: str) -> str:
    return quote(text, safe=" ,:/()@._-")


def _request_of(asked: TranslatedRequest) -> tuple[JobRequest, list[Payload]]:
    files = tuple(payload.ref for payload in asked.payloads)
    return request_of({"files": files, **asked.fields}, [*asked.payloads])
