"""Whether there is room on the engine's disk for a download."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError

_UNPACKED = 2
"""What an image takes at least, as a multiple of its download: that itself, and what is unpacked."""


def check_room(reference: str, download: int, info: Mapping[str, Any], free: int | None) -> None:
    """Raise StepError `out_of_disk` where `download` bytes do not fit in `free` (None: that is not known).

    `info` is the engine's answer to `GET /info`.
    """
    needed = download * _UNPACKED
    if free is None or needed <= free:
        return
    message = (
        f"image {reference} needs about {in_words(needed)} ({needed:,} bytes, for its download and what is "
        f"unpacked), and {info.get('DockerRootDir')} has {in_words(free)} free ({free:,} bytes). "
        "Make room, for example by `spacedock cleanup --images`."
    )
    raise StepError(Stage.PULL, ErrorKind.OUT_OF_DISK, message)


def free_bytes(info: Mapping[str, Any]) -> int | None:
    """What users may still write where the engine keeps its images; None where that is not on this host."""
    root = info.get("DockerRootDir")
    try:
        if not isinstance(root, str) or not Path(root).is_dir():
            return None
        status = os.statvfs(root)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def in_words(size: int) -> str:
    """Bytes for people: "1.2 GB", in powers of ten as Docker has them."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
