"""Files over HTTP: store one for jobs to name, and fetch those of results, by their content alone."""

from __future__ import annotations

import re

from aiohttp import web
from pydantic import BaseModel, Field

from spacedock._wire.view.tokens import Scope
from spacedock.files import FileRef
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.native.operation import BYTES, FORM, ApiOperation, answered
from spacedockd.http.sending import send_file

_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileQuery(BaseModel):
    """The name under which it is sent, whose ending tells its type where that is harmless."""

    name: str = Field(default="", max_length=255)


async def _store(context: DoorContext, request: web.Request, query: FileQuery) -> web.Response:
    """Store a file (the body, or the one file of a form) for jobs that name it; it waits for an hour."""
    if request.content_type == FORM:
        async with context.intake.form(request) as form:
            if len(form.files) != 1:
                raise HttpError(400, "bad_form", "the form has to have one file")
            return _stored(await context.store(form.files[0]))
    async with context.intake.file(request, query.name or "file") as file:
        return _stored(await context.store(file))


def _stored(ref: FileRef) -> web.Response:
    return answered(ref, 201, {"Location": f"/files/{ref.sha256}"})


async def _fetch(context: DoorContext, request: web.Request, query: FileQuery) -> web.StreamResponse:
    """Fetch a file of a result, or a part of it (Range)."""
    digest = request.match_info["sha256"]
    if not _DIGEST.fullmatch(digest):
        raise HttpError(404, "file_not_found", "a file is named by its sha256, 64 hexadecimal digits")
    tag = {"ETag": f'"{digest}"'}
    return await send_file(context, request, digest, query.name or digest, tag)


OPERATIONS = (
    ApiOperation(
        "POST", "/files", _store, {201: FileRef}, Scope.SUBMIT, FileQuery, bodies={BYTES: bytes, FORM: bytes}
    ),
    ApiOperation(
        "GET", "/files/{sha256}", _fetch, {200: BYTES, 206: BYTES}, query=FileQuery, headers=("Range",)
    ),
)
