"""Files that an app puts into its JSON as base64 or data URLs, taken out of it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from spacedock.files import Payload, payload_of
from spacedock_worker.adapters.faults import bad_output
from spacedock_worker.adapters.files import encodable, safe_name, unique_name
from spacedock_worker.adapters.limits import Limits
from spacedock_worker.adapters.openapi.media import HEAD_BYTES, MEDIA_TYPE, extension, sniffed

MAX_DEPTH = 64
MAX_FILES = 256
ROOT = "file"
"""The name of an answer that is nothing but a file."""

_NAMED = re.compile(
    r"(.*[_-])?(images?|img|picture|photo|masks?|thumbnail|audios?|sound|speech|wav|mp3|videos?|files?|pdf"
    r"|document|artifacts?)([_-](data|bytes|content|url|uri))?|.*(base64|b64).*",
    re.IGNORECASE,
)
_DATA_URL = re.compile(r"data:([^;,]{0,200})((?:;[^;,]{0,200}){0,8}),")
_MARK = re.compile(r"[_-]?(base64|b64)[_-]?", re.IGNORECASE)


class Embedded:
    """Takes the files of one answer into `files`; {"file": name, "index": n} stands in the place of each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._names: set[str] = set()
        self._bytes = 0
        self.files: list[Payload] = []

    def read(self, value: Any, name: str = ROOT, depth: int = 0) -> Any:
        """`value` without its files. Raises StepError of kind `bad_output` over the limits."""
        if depth > MAX_DEPTH:
            raise bad_output(f"the app's answer is nested deeper than {MAX_DEPTH} levels")
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
        if len(self.files) >= MAX_FILES:
            raise bad_output(f"the app gave more than {MAX_FILES} files")
        if len(data) > self._limits.file or self._bytes > self._limits.files:
            raise bad_output("the app gave more bytes of files than the limits allow")
        stem = safe_name(_MARK.sub("", name) or ROOT)
        unique = unique_name(safe_name(stem + extension(media_type)), self._names)
        self.files.append(payload_of(unique, data, media_type))
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
        known = media_type if MEDIA_TYPE.fullmatch(media_type) else sniffed(data[:HEAD_BYTES])
        return data, known or "application/octet-stream"
    # The first bytes are looked at before megabytes of what may be a text are decoded.
    head = _decoded(text[: HEAD_BYTES // 3 * 4 + 4]) if _NAMED.fullmatch(name[-64:]) else None
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
