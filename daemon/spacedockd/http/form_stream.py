"""A form's body as aiohttp's reader takes it, with pauses in which the loop answers others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web

from spacedockd.http.errors import HttpError

_LINES_AT_ONCE = 32
_MOST_BEFORE = 16
_FIRST_CHUNK, _LAST_CHUNK = 2**12, 2**18
_PLAIN = ("binary", "8bit", "7bit")


def form_reader(request: web.Request) -> MultipartReader:
    """Read the request's form. Raises ValueError where its Content-Type names no boundary."""
    return MultipartReader(request.headers, cast(StreamReader, _PausingStream(request.content)))


def refuse_encoded(part: BodyPartReader) -> None:
    """Raise HttpError for a part that is not sent as it is: nobody decodes it."""
    encoding = part.headers.get("Content-Encoding", "identity").lower()
    transfer = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    if encoding != "identity" or transfer not in _PLAIN:
        raise HttpError(415, "encoded", f"the part '{part.name}' of the form is encoded: send it as it is")


async def chunks_of(part: BodyPartReader) -> AsyncIterator[bytes]:
    """The bytes of a part, in pieces that grow.

    aiohttp's reader copies what it has read too much behind each part. A small first piece keeps that small
    for forms of many parts.
    """
    size = _FIRST_CHUNK
    while chunk := await part.read_chunk(size):
        yield chunk
        size = min(2 * size, _LAST_CHUNK)


class _PausingStream:
    """The stream of a body. aiohttp reads all lines that have come, without a pause.

    Raises HttpError where lines stand before the first boundary, as no client sends them.
    """

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._lines = self._before = 0

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        """The next line; lines of a part's head have a `max_line_length`."""
        self._lines += 1
        if self._lines % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
        self._before = 0 if max_line_length else self._before + 1
        if self._before > _MOST_BEFORE:
            raise HttpError(400, "bad_body", "the form does not begin with its boundary")
        return await self._content.readline(max_line_length=max_line_length)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
