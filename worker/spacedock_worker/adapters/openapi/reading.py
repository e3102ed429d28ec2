"""An app's HTTP response as an answer: text for people, data, files."""

from __future__ import annotations

import asyncio
import codecs
import json
from email.message import Message
from typing import Any

import aiohttp

from spacedock.files import payload_of
from spacedock_worker.adapters import offload
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.adapters.faults import bad_output
from spacedock_worker.adapters.files import encodable, safe_name
from spacedock_worker.adapters.http import parsed, read_bounded
from spacedock_worker.adapters.limits import Limits
from spacedock_worker.adapters.openapi.embedded import Embedded
from spacedock_worker.adapters.openapi.media import extension, is_json, is_text, told
from spacedock_worker.adapters.openapi.pointer import pointed

# Fields that hold what a person wants to read, the surest first.
TEXT_FIELDS = (
    "text", "answer", "result", "output", "generated_text", "summary", "translation", "label",
    "prediction", "caption", "response", "content", "message",
)  # fmt: skip
MAX_NESTING = 3
# Codecs that a header may name; some of Python's others are not for text, or slow on purpose.
CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252", "utf-16"})


async def read_answer(
    response: aiohttp.ClientResponse, endpoint: str, limits: Limits, pointer: str | None = None
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
        text = encodable(body.decode(_charset(response), errors="replace")) if body else None
        return AppAnswer(endpoint, text, text)
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


def _from_json(endpoint: str, body: bytes, limits: Limits, pointer: str | None) -> AppAnswer:
    if not body.strip() and pointer is None:
        return AppAnswer(endpoint, None, None)
    value = parsed(body)
    embedded = Embedded(limits)
    data = embedded.read(value if pointer is None else pointed(value, pointer))
    return AppAnswer(endpoint, text_of(data), data, tuple(embedded.files))


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
