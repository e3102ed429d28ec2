"""Media types: which answers are text, which files are what, by their first bytes, and how to name them."""

from __future__ import annotations

import mimetypes
import re

from spacedock_worker.adapters.binding.kinds import UNKNOWN_MEDIA

MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,128}")
HEAD_BYTES = 16
_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "video/mp4": ".mp4",
    "application/zip": ".zip",
    "text/csv": ".csv",
    "text/plain": ".txt",
}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_TEXTS = frozenset({"application/xml", "application/x-ndjson", "application/jsonl", "application/x-yaml"})


def is_json(media_type: str) -> bool:
    """Whether an answer of that type is JSON."""
    return media_type == "application/json" or media_type.endswith("+json")


def is_text(media_type: str) -> bool:
    """Whether an answer of that type is for people to read."""
    return media_type.startswith("text/") or media_type in _TEXTS


def sniffed(head: bytes) -> str | None:
    """The media type that a file's first bytes tell; None where they tell none."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "video/mp4"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def told(media_type: str, data: bytes) -> str:
    """The media type of a file: what the app says, else what its first bytes tell."""
    if MEDIA_TYPE.fullmatch(media_type) and media_type != UNKNOWN_MEDIA:
        return media_type
    return sniffed(data[:HEAD_BYTES]) or UNKNOWN_MEDIA


def extension(media_type: str) -> str:
    """How the names of such files end."""
    return _EXTENSIONS.get(media_type) or mimetypes.guess_extension(media_type) or ".bin"
