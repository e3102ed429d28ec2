"""Media types: which answers are text, which files are what, by their first bytes, and how to name them."""

from __future__ import annotations

import mimetypes

from spacedock.files import sniffed
from spacedock_worker.adapters.binding.kinds import UNKNOWN_MEDIA
from spacedock_worker.adapters.names import MEDIA_TYPE

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
_TEXTS = frozenset(
    {
        "application/xml",
        "application/x-ndjson",
        "application/jsonl",
        "application/json-lines",
        "application/x-yaml",
    }
)


def is_json(media_type: str) -> bool:
    """Whether an answer of that type is JSON."""
    return media_type == "application/json" or media_type.endswith("+json")


def is_text(media_type: str) -> bool:
    """Whether an answer of that type is for people to read."""
    return media_type.startswith("text/") or media_type in _TEXTS


def told(media_type: str, data: bytes) -> str:
    """The media type of a file: what the app says, else what its first bytes tell."""
    if MEDIA_TYPE.fullmatch(media_type) and media_type != UNKNOWN_MEDIA:
        return media_type
    return sniffed(data) or UNKNOWN_MEDIA


def extension(media_type: str) -> str:
    """How the names of such files end."""
    return _EXTENSIONS.get(media_type) or mimetypes.guess_extension(media_type) or ".bin"
