"""An app's HTTP response as an answer: text for people, data, files; by a JSON pointer a part of it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import codecs
import json
import re
from email.message import Message
from typing import Any

import aiohttp

from spacedock.files import Payload, payload_of, sniffed
from spacedock_worker.adapters import offload
from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.base import AnswerLimits, AppAnswer
from spacedock_worker.adapters.faults import bad_output, check_answer, shortened
from spacedock_worker.adapters.gradio.rendering import MAX_PAGE, words_of
from spacedock_worker.adapters.http import read_bounded
from spacedock_worker.adapters.names import MEDIA_TYPE, encodable, safe_name, unique_name
from spacedock_worker.adapters.openapi.media import (
    extension,
    is_json,
    is_text,
    told,
)
from spacedock_worker.adapters.openapi.streamed import is_streamed, read_stream

LONG = 2**16
"""Characters of a text that are read at once."""

ROOT = "file"
"""The name of an answer that is nothing but a file."""

_NAMED = re.compile(
    r"(.*[_-])?(images?|img|picture|photo|masks?|thumbnail|audios?|sound|speech|wav|mp3|videos?|files?|pdf"
    r"|document|artifacts?)([_-](data|bytes|content|url|uri))?|.*(base64|b64).*",
    re.IGNORECASE,
)
_DATA_URL = re.compile(r"data:([^;,]{0,200})((?:;[^;,]{0,200}){0,8}),")
_MARK = re.compile(r"[_-]?(base64|b64)[_-]?", re.IGNORECASE)
_HEAD_BYTES = 16


class Embedded:
    """Takes the files of one answer into `files`; {"file": name, "index": n} stands in the place of each."""

    def __init__(self, limits: AnswerLimits) -> None:
        self._limits = limits
        self._names: set[str] = set()
        self._bytes = 0
        self.files: list[Payload] = []

    def read(self, value: Any, name: str = ROOT, depth: int = 0) -> Any:
        """`value` without its files. Raises StepError of kind `bad_output` over the limits."""
        check_answer(depth, len(self.files))
        if isinstance(value, str):
            found = _file_in(value, name)
            return encodable(value) if found is None else self._kept(name, *found)
        if isinstance(value, list):
            return [self.read(item, name, depth + 1) for item in value]
        if isinstance(value, dict):
            return {encodable(key): self.read(item, key, depth + 1) for key, item in value.items()}
        return value

    def _kept(self, name: str, data: bytes, media_type: str) -> dict[str, Any]:
        self._bytes += len(data)
        if len(data) > self._limits.file or self._bytes > self._limits.files:
            raise bad_output("the app gave more bytes of files than the limits allow")
        stem = safe_name(_MARK.sub("", name) or ROOT)
        unique = unique_name(safe_name(stem + extension(media_type)), self._names)
        self.files.append(payload_of(unique, data, media_type))
        check_answer(0, len(self.files))
        return {"file": unique, "index": len(self.files) - 1}


def _file_in(text: str, name: str) -> tuple[bytes, str] | None:
    """The bytes and media type of the file that a string is; None where it is a text."""
    if url := _DATA_URL.match(text):
        if not url[2].lower().endswith(";base64"):
            return None
        data = _decoded(text[url.end() :])
        media_type = url[1].lower()
        if not data:
            return None
        known = media_type if MEDIA_TYPE.fullmatch(media_type) else sniffed(data)
        return data, known or "application/octet-stream"
    # The first bytes are looked at before megabytes of what may be a text are decoded.
    head = _decoded(text[: _HEAD_BYTES // 3 * 4 + 4]) if _NAMED.fullmatch(name[-64:]) else None
    media_type = sniffed(head) or "" if head else ""
    data = _decoded(text) if media_type else None
    return (data, media_type) if data else None


def _decoded(text: str) -> bytes | None:
    # Some encoders break their lines.
    plain = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        return None


# Fields that hold what a person wants to read, the surest first.
TEXT_FIELDS = (
    "text", "answer", "result", "output", "generated_text", "summary", "translation", "label",
    "prediction", "caption", "response", "content", "message",
)  # fmt: skip
MAX_NESTING = 3
# Codecs that a header may name; some of Python's others are not for text, or slow on purpose.
CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252", "utf-16"})


async def read_answer(
    response: aiohttp.ClientResponse, endpoint: str, limits: AnswerLimits, pointer: str | None = None
) -> AppAnswer:
    """Read the whole response; `pointer` (RFC 6901) says which part of its JSON is the answer.

    Raises StepError of kind `bad_output` over the limits, or where it cannot be read.
    """
    name = _file_name(response)
    if name is None and is_json(response.content_type):
        body = await read_bounded(response, limits.answer, "the text")
        return await offload.read(_from_json, endpoint, body, limits, pointer)
    if pointer is not None:
        raise bad_output(
            f"the app answered with {response.content_type}, and the response pointer needs JSON"
        )
    if name is None and is_text(response.content_type):
        body = await read_bounded(response, limits.answer, "the text")
        text = encodable(body.decode(_charset(response), errors="replace"))
        if len(text) > LONG:
            return await asyncio.to_thread(_from_text, endpoint, text, response.content_type)
        return _from_text(endpoint, text, response.content_type)
    body = await read_bounded(response, min(limits.file, limits.files), "a file")
    # A large file takes long to hash.
    return await asyncio.to_thread(_from_bytes, endpoint, name, body, response.content_type)


def text_of(data: Any, depth: int = 0) -> str | None:
    """What a person would read of an answer's JSON; None where it holds nothing but files."""
    if isinstance(data, str):
        return data
    if data is None or _is_only_files(data):
        return None
    text = _obvious(data, depth)
    return text if text is not None else json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _from_json(endpoint: str, body: bytes, limits: AnswerLimits, pointer: str | None) -> AppAnswer:
    if not body.strip() and pointer is None:
        return AppAnswer(endpoint, None, None)
    value = parsed(body)
    embedded = Embedded(limits)
    data = embedded.read(value if pointer is None else pointed(value, pointer))
    return AppAnswer(endpoint, text_of(data), data, tuple(embedded.files))


def _from_text(endpoint: str, text: str, media_type: str) -> AppAnswer:
    if not text:
        return AppAnswer(endpoint, None, None)
    if is_streamed(media_type):
        return AppAnswer(endpoint, *read_stream(media_type, text, _obvious))
    if media_type == "text/html":
        return AppAnswer(endpoint, words_of(text), text, truncated=len(text) > MAX_PAGE)
    return AppAnswer(endpoint, text, text)


def _from_bytes(endpoint: str, name: str | None, body: bytes, said: str) -> AppAnswer:
    if not body:
        return AppAnswer(endpoint, None, None)
    media_type = told(said, body)
    file = payload_of(name or f"output{extension(media_type)}", body, media_type)
    return AppAnswer(endpoint, None, {"file": file.ref.name, "index": 0}, (file,))


def _file_name(response: aiohttp.ClientResponse) -> str | None:
    """The name by which the app hands out its answer as a file; None where it does not."""
    said = response.headers.get("Content-Disposition")
    if said is None:
        return None
    header = Message()
    header["Content-Disposition"] = encodable(said)[:2000]
    name = header.get_filename()
    return safe_name(name) if name else None


def _charset(response: aiohttp.ClientResponse) -> str:
    try:
        name = codecs.lookup(response.charset or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return name if name in CHARSETS else "utf-8"


def _obvious(data: Any, depth: int = 0) -> str | None:
    """The text that an object is about: one of its fields, or within one of them."""
    match data:
        case str():
            return data
        case {"choices": [{"message": {"content": str(content)}}, *_]}:
            return content
        case {"choices": [{"text": str(content)}, *_]}:
            return content
        case [dict(only)] if depth < MAX_NESTING:
            return _obvious(only, depth + 1)
        case dict() if depth < MAX_NESTING:
            found = (_obvious(data[name], depth + 1) for name in TEXT_FIELDS if name in data)
            return next((text for text in found if text is not None), None)
    return None


def _is_only_files(data: Any) -> bool:
    if isinstance(data, dict) and data.keys() == {"file", "index"}:
        return True
    inner = list(data.values()) if isinstance(data, dict) else data if isinstance(data, list) else []
    return bool(inner) and all(_is_only_files(item) for item in inner)


_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def check_pointer(pointer: str) -> None:
    """Raise ValueError if `pointer` is not a JSON pointer."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"the response pointer {pointer!r} must begin with /, such as /choices/0/text")


def pointed(value: Any, pointer: str) -> Any:
    """The part of `value` at `pointer`. Raises StepError of kind `bad_output` if it leads nowhere."""
    place = ""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise bad_output(f"the app's answer has nothing at {place}/{token}: {_what(value, place)}")
        place += f"/{token}"
    return value


def _what(value: Any, place: str) -> str:
    where = place or "the answer"
    if isinstance(value, dict):
        return f"{where} has {shortened(', '.join(list(value)[:20]), 300) or 'no fields'}"
    if isinstance(value, list):
        return f"{where} has {len(value)} items"
    return f"{where} is no object and no array"
