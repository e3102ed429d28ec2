"""Names and media types that apps give: untrusted until they have been through here."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

MAX_FILE_NAME = 255
MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,128}")


def safe_name(name: str) -> str:
    """A bare file name: no directories, no control characters, at most 255 characters, never empty."""
    bare = re.split(r"[/\\]", encodable(name))[-1]
    kept = "".join(c for c in bare if c.isprintable()).strip()
    if kept in ("", ".", ".."):
        return "file"
    suffix = PurePosixPath(kept).suffix[:20]
    return kept if len(kept) <= MAX_FILE_NAME else kept[: MAX_FILE_NAME - len(suffix)] + suffix


def unique_name(name: str, taken: set[str]) -> str:
    """`name`, with a number where it is taken; it is taken after that."""
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{stem[: MAX_FILE_NAME - len(suffix) - 8]}-{number}{suffix}"
    taken.add(free)
    return free


def encodable(text: str) -> str:
    """The text as UTF-8 can carry it: JSON may hold half of a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
