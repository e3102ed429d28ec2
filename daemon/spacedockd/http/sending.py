"""Files of Spaces to clients: in pieces, in ranges, and as nothing that a browser would execute."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import BinaryIO

from aiohttp import web

from spacedock.files import FileRef, media_type_of
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError

_PASSIVE = re.compile(r"(?:audio|video)/[\w.+-]+|image/(?:png|jpeg|gif|webp|avif|bmp|tiff)|application/json")
_BYTES = "application/octet-stream"
_PIECE = 2**18
_RANGE = re.compile(r"bytes=(?=\d|-\d)(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)
_QUOTED = re.compile(r"[^\w .()-]", re.ASCII)


def safe_type(media_type: str) -> str:
    """The type as which a file of a stranger may be sent: one that no browser executes anything of."""
    bare = media_type.partition(";")[0].strip().lower()
    if _PASSIVE.fullmatch(bare):
        return bare
    return "text/plain" if bare.startswith("text/") or bare.endswith(("+xml", "/xml", "script")) else _BYTES


def attachment(name: str) -> str:
    """The Content-Disposition of a file of that name: browsers save it, and show nothing of it."""
    return f'attachment; filename="{_QUOTED.sub("_", name)}"'


async def send_file(
    context: DoorContext,
    request: web.Request,
    file: FileRef | str,
    name: str,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with a file of a result, or a part of it (Range); the ending of its name tells its type.

    Raises WireError where it is kept no longer.
    """
    async with context.intake.fetched(lambda: context.client.fetch(file)) as (opened, size):
        given = {
            "Content-Disposition": attachment(name),
            "Content-Type": safe_type(media_type_of(name)),
            **(headers or {}),
        }
        return await send_opened(request, opened, size, given)


async def send_opened(
    request: web.Request, file: BinaryIO, size: int, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with a file of that size, or a part of it (Range)."""
    given = {"Accept-Ranges": "bytes", **headers}
    asked = _range(request, size, headers.get("ETag"))
    part, status = asked or slice(0, size), 206 if asked else 200
    if asked is not None:
        given["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    response = web.StreamResponse(status=status, headers=given)
    response.content_length = part.stop - part.start
    await response.prepare(request)
    if request.method != "HEAD":
        # In pieces of our own: who does not read what the system sends by itself is not noticed.
        file.seek(part.start)
        for start in range(part.start, part.stop, _PIECE):
            await response.write(await asyncio.to_thread(file.read, min(_PIECE, part.stop - start)))
    return response


def _range(request: web.Request, size: int, tag: str | None) -> slice | None:
    """The part of a file that the request asks for, or None for the whole file.

    The whole file answers several ranges, another unit, and a range of another version (`If-Range`).

    Raises HttpError for a part that the file does not have.
    """
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or request.headers.get("If-Range", tag) != tag:
        return None
    first, last = asked.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise HttpError(
            416, "range", f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return slice(start, stop)
