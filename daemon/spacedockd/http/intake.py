"""What clients send and read, bounded in bytes and time; files go to disk as they come."""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic_core import from_json

from spacedock._wire import wire
from spacedock.batching.sources.strict_json import strictly_decoded
from spacedock.errors import FileTooLargeError
from spacedock.files import (
    MAX_FILE_BYTES,
    MAX_JOB_FILES,
    Payload,
    payload_of,
    travelling_name,
)
from spacedockd import paths
from spacedockd.http.errors import HttpError
from spacedockd.http.form_stream import chunks_of, form_reader, refuse_encoded
from spacedockd.http.settings import HttpLimits

LEAST_RATE = 16 * 2**10
"""Bytes a second that a client has to send and to read."""

_CHUNK = 2**18
_MOST_FIELDS = 1000
_LOADED = 4


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that a client sent, on disk until its request is answered: `field` is its name in the form."""

    field: str
    name: str
    media_type: str | None
    path: Path
    size: int

    async def payload(self) -> Payload:
        """The file as it travels to the queue."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Payload:
        return payload_of(self.name, self.path.read_bytes(), self.media_type)


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """A form: its texts by their names, in order, and its files."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[ReceivedFile] = field(default_factory=list)


def json_of(raw: bytes | str, what: str = "the body") -> Any:
    """The value of strict JSON: in UTF-8, no half surrogates, no key twice, no NaN. Raises HttpError."""
    try:
        value = strictly_decoded(raw if isinstance(raw, str) else raw.decode())
        # It refuses half surrogates, and what is nested too deep. Numbers of many digits would take it long.
        from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        why = str(error).removeprefix("not JSON: ")
        raise HttpError(400, "not_json", f"{what} is not JSON: {why}") from None
    return value


class Intake:
    """Reads the bodies of requests; files wait in `folder`, which is emptied first."""

    def __init__(self, folder: Path, limits: HttpLimits) -> None:
        self._folder, self._limits = folder, limits
        self._loading = asyncio.Semaphore(_LOADED)
        shutil.rmtree(folder, ignore_errors=True)
        paths.make_private(folder)

    @asynccontextmanager
    async def loaded(self, *files: ReceivedFile) -> AsyncIterator[list[Payload]]:
        """A request's files in memory, as they travel to the queue; those of few requests at a time."""
        async with self._loading:
            yield [await file.payload() for file in files]

    @asynccontextmanager
    async def fetched(self, read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[tuple[BinaryIO, int]]:
        """What is read, to be sent, and its size: on disk if it is large, however slowly it is taken."""
        async with self._loading:
            data = await read()
            file, size = await asyncio.to_thread(self._put_down, data), len(data)
            del data
        with file:
            yield file, size

    def _put_down(self, data: bytes) -> BinaryIO:
        small = len(data) <= _CHUNK
        file = io.BytesIO() if small else tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        file.write(data)
        return cast(BinaryIO, file)

    async def json(self, request: web.Request, most: int = wire.MAX_CALL_BYTES) -> Any:
        """A body of JSON; an empty one is {}. Raises HttpError."""
        if request.content_type not in ("application/json", "application/octet-stream"):
            raise HttpError(415, "not_json", f"a body of {request.content_type} is not taken here: send JSON")
        raw = await self.body(request, most) or b"{}"
        # Behind the parser of each key and number a thread lets others run.
        return json_of(raw) if len(raw) <= _CHUNK else await asyncio.to_thread(json_of, raw)

    async def body(self, request: web.Request, most: int) -> bytes:
        """A whole body of JSON of at most `most` bytes, in memory, quick to parse. Raises HttpError."""
        async with self._in_time(request) as came:
            raw = await _whole(_plain(request.content.iter_chunked(_CHUNK)), most, came)
        if wire.too_complex(raw):
            raise HttpError(413, "too_complex", f"the body holds over {wire.MAX_NESTS:,} lists and objects")
        return raw

    @asynccontextmanager
    async def form(self, request: web.Request) -> AsyncIterator[ReceivedForm]:
        """The form of a request (multipart/form-data), whose files lie on disk within the block.

        Raises HttpError, FileTooLargeError.
        """
        if request.content_type != "multipart/form-data":
            raise HttpError(415, "not_a_form", f"a body of {request.content_type} is not taken here")
        folder = self._folder / uuid.uuid4().hex
        try:
            await asyncio.to_thread(folder.mkdir, 0o700)
            yield await self._read(request, folder)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))

    @asynccontextmanager
    async def file(self, request: web.Request, name: str) -> AsyncIterator[ReceivedFile]:
        """The body of a request as one file of that name. Raises HttpError, FileTooLargeError."""
        path = self._folder / uuid.uuid4().hex
        try:
            async with self._in_time(request) as came:
                size = await _saved(request.content.iter_chunked(_CHUNK), path, name, self._limits.body, came)
            name = travelling_name(name.replace("/", "_"))
            yield ReceivedFile("file", name, request.content_type, path, size)
        finally:
            await asyncio.shield(asyncio.to_thread(path.unlink, True))

    async def _read(self, request: web.Request, folder: Path) -> ReceivedForm:
        form = ReceivedForm()
        left, texts_left = self._limits.body, wire.MAX_CALL_BYTES
        async with self._in_time(request) as came:
            reader = form_reader(request)
            while (part := await reader.next()) is not None:
                if isinstance(part, MultipartReader) or part.name is None:
                    raise HttpError(400, "bad_form", "each part of the form needs a name")
                if len(form.files) + len(form.fields) >= MAX_JOB_FILES + _MOST_FIELDS:
                    raise HttpError(413, "too_many_parts", "the form has too many parts")
                refuse_encoded(part)
                if part.filename is None:
                    form.fields.append((part.name, await _text(part, texts_left, came)))
                    texts_left -= len(form.fields[-1][1])
                else:
                    form.files.append(await _file(part, folder / str(len(form.files)), left, came))
                    left -= form.files[-1].size
        return form

    @asynccontextmanager
    async def _in_time(self, request: web.Request) -> AsyncIterator[Any]:
        """Cut off a client that sends too slowly; the block tells how many bytes came."""
        if (request.content_length or 0) > self._limits.body:
            raise _too_large(self._limits.body)
        try:
            async with asyncio.timeout(self._limits.body_seconds) as limit:

                def came(size: int) -> None:
                    limit.reschedule((limit.when() or 0.0) + size / LEAST_RATE)

                yield came
        except TimeoutError:
            raise HttpError(408, "too_slow", "the body came too slowly", headers=_CLOSE) from None
        except (ValueError, RuntimeError, HttpProcessingError, web.RequestPayloadError):
            # aiohttp raises RuntimeError for a long `_charset_` in a form.
            raise HttpError(400, "bad_body", _UNREADABLE, headers=_CLOSE) from None


_CLOSE = {"Connection": "close"}
_UNREADABLE = "the body breaks off, or is not what its Content-Type says"
_MARKS = (b",", b"[", b"{", b"\\", b":", b'"')
_MOST_MARKS = wire.MAX_CALL_BYTES // 2
"""More than a request's own text holds; what comes beside it is base64. A key and its value have four."""

_TOO_MANY = (
    f"the body holds over {_MOST_MARKS:,} commas, colons, quotes, brackets and backslashes: "
    "send less, or files as base64"
)


async def _text(part: BodyPartReader, most: int, came: Any) -> str:
    try:
        return (await _whole(chunks_of(part), most, came)).decode()
    except UnicodeDecodeError:
        raise HttpError(400, "bad_form", f"the field '{part.name}' is not UTF-8") from None


async def _file(part: BodyPartReader, path: Path, left: int, came: Any) -> ReceivedFile:
    name = travelling_name((part.filename or "").replace("/", "_")) or "file"
    size = await _saved(chunks_of(part), path, name, left, came)
    return ReceivedFile(part.name or "", name, part.headers.get("Content-Type"), path, size)


async def _plain(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of JSON that no thread can parse beside the loop, as the parser keeps the interpreter.

    So what takes long is refused as it comes: base64 is quick, and has none of the marks that are counted.
    """
    left = _MOST_MARKS
    async for chunk in chunks:
        left -= sum(map(chunk.count, _MARKS))
        if left < 0:
            raise HttpError(413, "too_complex", _TOO_MANY, headers=_CLOSE)
        yield chunk


async def _whole(chunks: AsyncIterator[bytes], most: int, came: Any) -> bytes:
    """What comes, in memory. Raises HttpError where it is over `most` bytes."""
    data, size = list[bytes](), 0
    async for chunk in chunks:
        data.append(chunk)
        size += len(chunk)
        came(len(chunk))
        if size > most:
            raise _too_large(most)
    return b"".join(data)


async def _saved(chunks: AsyncIterator[bytes], path: Path, name: str, left: int, came: Any) -> int:
    """Write a file as it comes; returns its bytes."""
    size = 0
    file = await asyncio.to_thread(path.open, "xb")
    try:
        async for chunk in chunks:
            size += len(chunk)
            came(len(chunk))
            if size > MAX_FILE_BYTES:
                raise FileTooLargeError(name, size, MAX_FILE_BYTES)
            if size > left:
                raise _too_large(left)
            await asyncio.to_thread(file.write, chunk)
    finally:
        file.close()
    return size


def _too_large(most: int) -> HttpError:
    return HttpError(413, "too_large", f"the body is over the limit of {most / 2**20:.3g} MB", headers=_CLOSE)
