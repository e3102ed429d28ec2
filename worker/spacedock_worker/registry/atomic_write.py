"""Putting a file in another's place without losing what somebody wrote there a moment ago."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
"""What kernels and file systems say that cannot do it."""

_NEW_FILE_MODE = 0o644

Stamp = tuple[int, int, int]
"""What changes with a file: when it was written, its inode, its size."""

NOWHERE: Stamp = (0, 0, 0)
"""The stamp of a file that is not there."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file's text at one moment, and the stamp that it had."""

    text: str
    stamp: Stamp


def stamp_of(path: Path) -> Stamp:
    """The file's stamp now."""
    try:
        found = path.stat()
    except OSError:
        return NOWHERE
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def read(path: Path) -> Content:
    """The file's text; empty where there is none. Raises OSError and UnicodeDecodeError."""
    while True:
        stamp = stamp_of(path)
        text = _text_of(path) if stamp != NOWHERE else ""
        if stamp_of(path) == stamp:
            return Content(text, stamp)


def replace(path: Path, before: Content, text: str) -> bool:
    """Have the file hold `text`, if it still is what was read `before`; False, and as it was, if not.

    On Linux the two files change places in one step, and what comes out is looked at: an editor that saved
    in between is given its file back. Elsewhere there is an instant between the look and the rename. Raises
    OSError.
    """
    part = _written(path, text)
    try:
        if before.stamp == NOWHERE:
            return _put_new(part, path)
        if stamp_of(path) != before.stamp:
            return False
        if not _exchange(part, path):
            part.replace(path)
            return True
        if stamp_of(part) == before.stamp:
            return True
        # Not what was read: it goes back, unless its owner has saved once more.
        _exchange(part, path)
        return False
    finally:
        part.unlink(missing_ok=True)


def _text_of(path: Path) -> str:
    """The text with its own line ends. A mark of the byte order goes: libyaml counts without it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.read()


def _written(path: Path, text: str) -> Path:
    """A new file beside `path` with the text, safe on the disk."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", encoding="utf-8", newline="", delete=False
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _as_before(Path(file.name), path)
    return Path(file.name)


def _as_before(part: Path, path: Path) -> None:
    """Give the new file the permissions of the old one, and its owner where we may."""
    try:
        found = path.stat()
    except FileNotFoundError:
        part.chmod(_NEW_FILE_MODE)
        return
    with suppress(PermissionError):
        os.chown(part, found.st_uid, found.st_gid)
    part.chmod(stat.S_IMODE(found.st_mode))


def _put_new(part: Path, path: Path) -> bool:
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Let two files change names; False where this system cannot. Raises OSError."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))
