"""A Space given as a directory: packed into one deterministic tar, so that the same content is sent once."""

from __future__ import annotations

import io
import os
import posixpath
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from spacedock.errors import BadRequestError, FileTooLargeError, FileUnreadableError
from spacedock.files import (
    MAX_FILE_BYTES,
    MAX_REPOSITORY_BYTES,
    MAX_REPOSITORY_FILES,
    Payload,
    payload_of,
    travelling_name,
)

MEDIA_TYPE = "application/x-tar"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LEFT_OUT = frozenset({".git", "__pycache__", ".venv", "node_modules", ".DS_Store"})


def pack(directory: Path, max_bytes: int = MAX_FILE_BYTES) -> Payload:
    """Pack a Space's directory (files and symbolic links, sorted, without times or owners).

    Raises FileUnreadableError where it is not a readable directory, BadRequestError where it is no Space, has
    too many files or a name or link that cannot be sent, FileTooLargeError over `max_bytes`.
    """
    try:
        directory = directory.expanduser()
    except RuntimeError as error:
        raise FileUnreadableError(str(directory), "there is no such user") from error
    if not directory.is_dir():
        raise FileUnreadableError(str(directory), "is not a directory")
    if not any((directory / name).is_file() for name in ("README.md", "app.py", "Dockerfile")):
        raise BadRequestError(f"{directory} is not a Space: it has no README.md, app.py or Dockerfile")
    total = 0
    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for count, path in enumerate(_files(directory), start=1):
                if count > MAX_REPOSITORY_FILES:
                    raise BadRequestError(f"the Space {directory} has more than {MAX_REPOSITORY_FILES} files")
                total += 0 if path.is_symlink() else path.stat().st_size
                if total > max_bytes:
                    raise FileTooLargeError(f"the Space {directory}", total, max_bytes)
                _add(tar, path, path.relative_to(directory).as_posix())
    except OSError as error:
        raise FileUnreadableError(str(error.filename or directory), error.strerror or str(error)) from error
    # Many small files are large in a tar.
    if buffer.tell() > (limit := max_bytes + MAX_REPOSITORY_BYTES - MAX_FILE_BYTES):
        raise FileTooLargeError(f"the Space {directory}", buffer.tell(), limit)
    name = (directory.resolve().name or "space") + ".tar"
    return payload_of(travelling_name(name), buffer.getvalue(), MEDIA_TYPE)


def _files(directory: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if name not in _LEFT_OUT)
        for name in sorted((*files, *names)):
            path = Path(folder, name)
            if name not in _LEFT_OUT and (path.is_symlink() or path.is_file()):
                yield path


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    if _CONTROL.search(name) or "\\" in name:
        raise BadRequestError(
            f"the Space's file {name!a} has a control character or a backslash in its name: rename it"
        )
    info = tarfile.TarInfo(name)
    if path.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, _target(path, name)
        tar.addfile(info)
        return
    info.size = path.stat().st_size
    info.mode = 0o755 if os.access(path, os.X_OK) else 0o644
    with path.open("rb") as file:
        tar.addfile(info, file)


def _target(path: Path, name: str) -> str:
    """What a symbolic link points to, which must be in the Space as well."""
    link = os.readlink(path)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    if posixpath.isabs(link) or target.split("/")[0] == ".." or _CONTROL.search(link):
        raise BadRequestError(
            f"the Space's file {name} is a link that leads out of its directory (to {link!a}): "
            "put a copy of the file in its place"
        )
    return link
