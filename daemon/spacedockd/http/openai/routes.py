"""The routes of OpenAI's API: jobs, files and batches; all others of it are refused by their names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from spacedock._wire.view.tokens import Scope
from spacedock.batching.sources.strict_json import strictly_decoded
from spacedock.openai.bodies import WrongAnswerError
from spacedock.openai.model_names import ApiRoute
from spacedock.openai.translation import OWN, TranslatedRequest
from spacedock.request import Tier
from spacedock.result import JobResult
from spacedockd.http.access import route
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.openai.asking import Asking, headers_of, wrong
from spacedockd.http.openai.records import Records, add_file
from spacedockd.http.openai.streaming import stream
from spacedockd.http.sending import safe_type, send_file, send_opened

_MOST_TEXTS = 256


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes, the refusal of all others last."""
    api = OpenAiRoutes(context)
    jobs = {
        ApiRoute.CHAT: api.chat,
        ApiRoute.EMBEDDINGS: api.embeddings,
        ApiRoute.IMAGES: api.images,
        ApiRoute.EDITS: api.edits,
        ApiRoute.TRANSCRIPTIONS: api.transcriptions,
        ApiRoute.SPEECH: api.speech,
    }
    return [
        route("GET", "/v1/models", api.models, Scope.READ),
        route("GET", "/v1/models/{name:.+}", api.model, Scope.READ),
        *(route("POST", path.value, handler, Scope.SUBMIT) for path, handler in jobs.items()),
        *_file_routes(context),
        *_batch_routes(context),
        route("*", "/v1/{rest:.*}", refused, Scope.READ),
    ]


async def refused(request: web.Request) -> web.StreamResponse:
    """Say that a route of OpenAI's API is not served, or not by this method."""
    answers = [await one.resolve(request) for one in request.app.router.resources()]
    if allowed := set[str]().union(*(methods for _, methods in answers)) - {"*"}:
        raise web.HTTPMethodNotAllowed(request.method, sorted(allowed))
    known = ", ".join(one.value for one in ApiRoute)
    what = f"{request.method} {request.path} is not served here. Routes of OpenAI's API that are: {known}, "
    raise HttpError(404, "unknown_url", f"{what}/v1/models, /v1/files, /v1/batches")


class OpenAiRoutes:
    """Handles the requests of OpenAI's clients."""

    def __init__(self, context: DoorContext) -> None:
        self._asking, self._context = Asking(context), context

    async def models(self, request: web.Request) -> web.Response:
        """GET /v1/models."""
        return web.json_response({"object": "list", "data": await self._models()})

    async def model(self, request: web.Request) -> web.Response:
        """GET /v1/models/{name}."""
        name = request.match_info["name"]
        for row in await self._models():
            if row["id"] == name:
                return web.json_response(row)
        raise HttpError(404, "model_not_found", f"there is no model '{name}' here", param="model")

    async def _models(self) -> list[dict[str, Any]]:
        listed = await self._context.client.spaces.list()
        return [*_rows(listed.spaces, self._context.models_as)]

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        asked = await self._asking.read(ApiRoute.CHAT, await self._asking.body(request))
        if asked.form.get("stream"):
            return await stream(self._asking, request, asked)
        return await self._asking.answer(request, asked)

    async def embeddings(self, request: web.Request) -> web.Response:
        """POST /v1/embeddings: a job for each text."""
        body = await self._asking.body(request)
        texts = body.get("input") if isinstance(body, dict) else None
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            return await self._asking.answer(request, await self._asking.read(ApiRoute.EMBEDDINGS, body))
        if len(texts) > _MOST_TEXTS:
            raise HttpError(400, "too_many", f"'input' has over {_MOST_TEXTS} texts", param="input")
        parsed = [await self._asking.read(ApiRoute.EMBEDDINGS, {**body, "input": text}) for text in texts]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._embedded(request, asked)) for asked in parsed]
        except ExceptionGroup as errors:
            # One that fails has the others cancelled, and is the answer.
            raise errors.exceptions[0] from errors
        answers = [task.result() for task in tasks]
        (_, first), (asked, result) = answers[0], (parsed[0], answers[0][0])
        rows = [{**found["data"][0], "index": index} for index, (_, found) in enumerate(answers)]
        return web.json_response({**first, "data": rows}, headers=headers_of(asked, result))

    async def _embedded(
        self, request: web.Request, asked: TranslatedRequest
    ) -> tuple[JobResult, dict[str, Any]]:
        result = await self._asking.result(request, asked)
        return result, await self._asking.body_of(request, asked, result)

    async def images(self, request: web.Request) -> web.Response:
        """POST /v1/images/generations."""
        asked = await self._asking.read(ApiRoute.IMAGES, await self._asking.body(request))
        return await self._asking.answer(request, asked)

    async def edits(self, request: web.Request) -> web.Response:
        """POST /v1/images/edits."""
        return await self._asking.answer(request, await self._form(request, ApiRoute.EDITS))

    async def transcriptions(self, request: web.Request) -> web.Response:
        """POST /v1/audio/transcriptions."""
        asked = await self._form(request, ApiRoute.TRANSCRIPTIONS)
        if asked.form.get("response_format") != "text":
            return await self._asking.answer(request, asked)
        result = await self._asking.result(request, asked)
        body = await self._asking.body_of(request, asked, result)
        return web.Response(text=f"{body['text']}\n", headers=headers_of(asked, result))

    async def speech(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/audio/speech: the first recording of the answer."""
        asked = await self._asking.read(ApiRoute.SPEECH, await self._asking.body(request))
        result = await self._asking.result(request, asked)
        spoken = next((ref for ref in result.output.files if ref.media_type.startswith("audio/")), None)
        if spoken is None:
            raise wrong(WrongAnswerError(asked, result, "a recording"), asked)
        headers = headers_of(asked, result) | {"Content-Type": safe_type(spoken.media_type)}
        return await send_file(self._context, request, spoken, spoken.name, headers)

    async def _form(self, request: web.Request, path: ApiRoute) -> TranslatedRequest:
        async with self._context.intake.form(request) as form:
            body: dict[str, Any] = {}
            for name, text in form.fields:
                if name.endswith("[]"):
                    body.setdefault(name.removesuffix("[]"), []).append(text)
                else:
                    body[name] = typed(text)
            body |= {"prompt": str(body["prompt"])} if "prompt" in body else {}
            return await self._asking.read(path, body | {"model": str(body.get("model", ""))}, form.files)


def typed(text: str) -> Any:
    """A form's text as JSON would have it, where it is a number, true, false, or our own object."""
    if not text[:1].isdigit() and text[:1] not in "-{tf":
        return text
    try:
        return strictly_decoded(text)
    except ValueError:
        return text


def _rows(spaces: Mapping[str, Mapping[str, Any]], aliases: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of GET /v1/models; `spaces` are the registry's entries by name."""
    for tier in Tier:
        yield _row(tier.value, "tier", {})
    for category in sorted({str(entry["category"]) for entry in spaces.values() if entry.get("category")}):
        yield _row(category, "category", {})
    for name, entry in spaces.items():
        yield _row(
            name,
            "space",
            {
                "description": entry.get("description"),
                "category": entry.get("category"),
                "modalities": {"input": entry.get("input_type"), "output": entry.get("output_type")},
                "status": entry.get("status"),
            },
        )
    for alias, name in aliases.items():
        yield _row(alias, "alias", {"means": name})


def _row(id_: str, kind: str, own: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id_, "object": "model", "created": 0, "owned_by": OWN, OWN: {"kind": kind, **own}}


def _read_routes(path: str, records: Records) -> list[web.RouteDef]:
    """The list of the records of one kind, and each of them."""

    async def listed(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(records.page, request.query))

    async def shown(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(records.get, request.match_info["id"]))

    return [route("GET", path, listed, Scope.READ), route("GET", f"{path}/{{id}}", shown, Scope.READ)]


def _file_routes(context: DoorContext) -> list[web.RouteDef]:
    files = context.batches.files

    async def upload(request: web.Request) -> web.Response:
        async with context.intake.form(request) as form:
            purpose = dict(form.fields).get("purpose")
            if unknown := dict(form.fields).keys() - {"purpose"}:
                what = f"'{min(unknown)[:100]}' is not for a file here, which is kept for 30 days"
                raise HttpError(400, "unsupported", what, param=min(unknown)[:100])
            if purpose != "batch":
                raise HttpError(400, "unsupported", "files are for batches: purpose=batch", param="purpose")
            if len(form.files) != 1:
                raise HttpError(400, "no_file", "send one file, as 'file'", param="file")
            sent = form.files[0]
            return web.json_response(await asyncio.to_thread(add_file, files, sent.path, sent.name, purpose))

    async def content(request: web.Request) -> web.StreamResponse:
        record = await asyncio.to_thread(files.get, request.match_info["id"])
        headers = {"Content-Type": "application/octet-stream"}
        with await asyncio.to_thread(files.content, record["id"]) as file:
            return await send_opened(request, file, record["bytes"], headers)

    async def deleted(request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        if id_ in context.batches.in_use():
            raise HttpError(409, "in_use", f"a batch reads the file {id_}: cancel it, or wait for its end")
        await asyncio.to_thread(files.delete, id_)
        return web.json_response({"id": id_, "object": "file", "deleted": True})

    return [
        route("POST", "/v1/files", upload, Scope.SUBMIT),
        *_read_routes("/v1/files", files),
        route("GET", "/v1/files/{id}/content", content, Scope.READ),
        route("DELETE", "/v1/files/{id}", deleted, Scope.SUBMIT),
    ]


def _batch_routes(context: DoorContext) -> list[web.RouteDef]:
    batches = context.batches

    async def created(request: web.Request) -> web.Response:
        return web.json_response(await batches.create(await context.intake.json(request)))

    async def cancelled(request: web.Request) -> web.Response:
        return web.json_response(batches.cancel(request.match_info["id"]))

    return [
        route("POST", "/v1/batches", created, Scope.SUBMIT),
        *_read_routes("/v1/batches", batches.records),
        route("POST", "/v1/batches/{id}/cancel", cancelled, Scope.SUBMIT),
    ]
