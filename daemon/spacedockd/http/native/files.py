"""Files over HTTP: store one for jobs to name, and fetch those of results, by their content alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aiohttp import web
from pydantic import BaseModel, Field

from spacedock._wire.view.tokens import Scope
from spacedock.files import FileRef, media_type_of
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.native.operation import BYTES, FORM, ApiOperation, answered

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PASSIVE = re.compile(r"(?:audio|video)/[\w.+-]+|image/(?:png|jpeg|gif|webp|avif|bmp|tiff)|application/json")
_QUOTED = re.compile(r"[^\w .()-]", re.ASCII)


class FileQuery(BaseModel):
    """The name under which it is sent, whose ending tells its type where that is harmless."""

    name: str = Field(default="", max_length=255)


def safe_type(media_type: str) -> str:
    """The type as which a file of a stranger may be sent: one that no browser executes anything of."""
    bare = media_type.partition(";")[0].strip().lower()
    if _PASSIVE.fullmatch(bare):
        return bare
    return "text/plain" if bare.startswith("text/") or bare.endswith(("+xml", "/xml", "script")) else BYTES


def attachment(name: str) -> str:
    """The Content-Disposition of a file of that name: browsers save it, and show nothing of it."""
    return f'attachment; filename="{_QUOTED.sub("_", name)}"'


async def _store(context: DoorContext, request: web.Request, query: FileQuery) -> web.Response:
    """Store a file (the body, or the one file of a form) for jobs that name it; it waits for an hour."""
    if request.content_type == FORM:
        async with context.intake.form(request) as form:
            if len(form.files) != 1:
                raise HttpError(400, "bad_form", "the form has to have one file")
            file = form.files[0]
            async with context.intake.loaded(file) as payload:
                await context.client.store([payload])
                return answered(payload.ref, 201, {"Location": f"/files/{payload.ref.sha256}"})
    async with (
        context.intake.file(request, query.name or "file") as file,
        context.intake.loaded(file) as payload,
    ):
        await context.client.store([payload])
        return answered(payload.ref, 201, {"Location": f"/files/{payload.ref.sha256}"})


async def _fetch(context: DoorContext, request: web.Request, query: FileQuery) -> web.StreamResponse:
    """Fetch a file of a result, or a part of it (Range)."""
    digest = request.match_info["sha256"]
    if not _DIGEST.fullmatch(digest):
        raise HttpError(404, "file_not_found", "a file is named by its sha256, 64 hexadecimal digits")
    data = await context.client.fetch(digest)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": attachment(query.name or digest),
        "Content-Type": safe_type(media_type_of(query.name)),
        "ETag": f'"{digest}"',
    }
    part, status = slice(0, len(data)), 200
    if "Range" in request.headers:
        part, status = _range(request, len(data)), 206
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = part.stop - part.start
    await response.prepare(request)
    if request.method != "HEAD":
        for piece in _pieces(memoryview(data)[part]):
            await context.intake.sent(response.write(piece))
    return response


def _range(request: web.Request, size: int) -> slice:
    try:
        asked = request.http_range
        start, stop, _ = asked.indices(size)
    except ValueError:
        start = stop = 0
    if start >= stop:
        raise HttpError(
            416, "range", f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return slice(start, stop)


_PIECE = 2**18


def _pieces(data: memoryview) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield bytes(data[start : start + _PIECE])


OPERATIONS = (
    ApiOperation(
        "POST", "/files", _store, {201: FileRef}, Scope.SUBMIT, FileQuery, bodies={BYTES: bytes, FORM: bytes}
    ),
    ApiOperation(
        "GET", "/files/{sha256}", _fetch, {200: BYTES, 206: BYTES}, query=FileQuery, headers=("Range",)
    ),
)
