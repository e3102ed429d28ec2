"""How much disk folders and volumes take, whatever a Space has made of them."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic

from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError

ENOUGH = 2**62
"""More bytes than there are anywhere: a count up to here is a whole count."""

# What a file takes at least, so that empty ones by the million are not free.
_LEAST = 4096
_BLOCK = 512
_DEEPEST = 100
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DF_SECONDS = 60.0
_COUNTING = "disk usage operation is already running"
_PAUSE_SECONDS = 0.2
_UPPER = re.compile(r"[ ,]upperdir=((?:\\,|[^,])*)")
_OCTAL = re.compile(r"\\([0-7]{3})")


class _TooDeepError(Exception):
    """Folders in folders, more of them than any library makes."""


async def volume_bytes(
    engine: Engine, mountpoints: Mapping[str, str], enough: int = ENOUGH
) -> dict[str, int]:
    """The bytes that each volume takes, by its name; `mountpoints` are their folders on the engine's host.

    Counted here where this process may read them (see `folder_bytes`), else by the engine. Raises
    RefusedError and StepError `docker_unavailable`.
    """
    counts = {
        name: await asyncio.to_thread(folder_bytes, folder, enough) for name, folder in mountpoints.items()
    }
    if all(count is not None for count in counts.values()):
        return {name: count for name, count in counts.items() if count is not None}
    told = await _told(engine)
    return {name: told.get(name, 0) if count is None else count for name, count in counts.items()}


def folder_bytes(path: str, enough: int = ENOUGH) -> int | None:
    """The bytes on the disk of all that is below `path`; None where this process may not look, or it is gone.

    Every file and folder counts 4 KiB at least, one with several names once, a sparse one what it really
    takes. Ends early at `enough` bytes; folders nested 100 deep count as `enough`. Follows no links, whoever
    swaps them in meanwhile. Blocks.
    """
    total, linked = 0, set()
    try:
        top = os.open(path, _FOLDER)
    except OSError:
        return None
    try:
        for found in _below(top, 1):
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if found.st_ino in linked:
                    continue
                linked.add(found.st_ino)
            total += max(_LEAST, found.st_blocks * _BLOCK)
            if total >= enough:
                return enough
    except _TooDeepError:
        return enough
    except PermissionError:
        return None
    finally:
        os.close(top)
    return total


def upper_folder(pid: int, container: str) -> str | None:
    """The folder of the overlay that a container's process writes its root to, by the kernel's word.

    None where there is no such process on this host, it is another's, or its root is no overlay. Blocks.
    """
    try:
        # The number may be another process's: that of an engine elsewhere, or one that came since.
        if container not in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"):
            return None
        mounts = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    return upper_of(mounts)


def upper_of(mounts: str) -> str | None:
    """The upper folder of the overlay at `/`, of what /proc/PID/mountinfo says (pure)."""
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        if place.split()[4:5] != ["/"] or not kind.startswith("overlay "):
            continue
        found = _UPPER.search(kind)
        # The kernel writes spaces and the like in octal, and commas with a backslash.
        return _OCTAL.sub(lambda m: chr(int(m[1], 8)), found[1]).replace("\\,", ",") if found else None
    return None


def _below(folder: int, depth: int) -> Iterator[os.stat_result]:
    """What is in the open folder, and in those in it."""
    if depth > _DEEPEST:
        raise _TooDeepError
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                found = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
                child = os.open(entry.name, _FOLDER, dir_fd=folder) if stat.S_ISDIR(found.st_mode) else None
            except PermissionError:
                raise
            except OSError:
                # Gone, or something else by now: the next count sees.
                continue
            yield found
            if child is not None:
                try:
                    yield from _below(child, depth + 1)
                finally:
                    os.close(child)


async def _told(engine: Engine) -> dict[str, int]:
    """What the engine says of all its volumes; it reads them through for that.

    An engine that counts for somebody else counts for nobody meanwhile: that is waited for.
    """
    end = monotonic() + _DF_SECONDS
    while True:
        try:
            async with engine.call(Stage.CALL, _DF_SECONDS) as docker:
                # Engines since API 1.42 then count nothing but volumes.
                found = await docker._query_json("system/df", params={"type": "volume", "verbose": "1"})
            break
        except EngineRefusedError as error:
            if _COUNTING not in error.message or monotonic() > end:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
    # From API 1.52 on, the rows are in another place.
    rows = found.get("Volumes") or (found.get("VolumeUsage") or {}).get("Items") or ()
    sizes = {volume["Name"]: (volume.get("UsageData") or {}).get("Size", -1) for volume in rows}
    return {name: size for name, size in sizes.items() if size >= 0}
