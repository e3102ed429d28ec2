"""/v1/files and /v1/batches: files of requests that are carried out without their client."""

from __future__ import annotations

import asyncio

from aiohttp import web

from spacedock._wire.view.tokens import Scope
from spacedockd.http.access import route
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.openai.records import Records, add_file
from spacedockd.http.sending import send_opened


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes."""
    return [*_file_routes(context), *_batch_routes(context)]


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
