"""registry.yaml: what a person has declared for this host. Read, and written only if it is not there."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from threading import Lock

import structlog

from spacedock.errors import BadRequestError
from spacedock_worker.atomic_write import write_whole
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.reader import Declared, Reader

log = structlog.get_logger()

Stamp = tuple[int, int, int]
"""What changes with a file: when it was written, its inode, its size."""

_NOWHERE: Stamp = (0, 0, 0)


class HostFile:
    """One YAML file, read again when it changes; a bad entry does not hide the rest.

    A file that is missing is begun with `default`, the text of a first registry. `fault` says why what is
    there now could not be read.
    """

    def __init__(self, path: Path, default: str = "") -> None:
        self.path = path
        self._default = default
        self._declared = Declared()
        self._stamp: Stamp | None = None
        self.fault: str | None = None
        self._reader, self._reading = Reader(path), Lock()

    @property
    def stale(self) -> bool:
        """Whether the file is not as it was when it was read."""
        return stamp_of(self.path) != self._stamp

    def read(self) -> Declared:
        """What the file declares now; while it is no YAML, what it declared before, with a warning."""
        with self._reading:
            if self.stale:
                self._read()
            return self._declared

    def _read(self) -> None:
        try:
            trouble = self._begin() if stamp_of(self.path) == _NOWHERE and self._default else ()
            self.fault, stamp = None, stamp_of(self.path)
            text = text_of(self.path) if stamp != _NOWHERE else self._default if trouble else ""
            declared = self._reader.read(text)
            self._declared = Declared(
                declared.spaces, declared.listed, (*trouble, *declared.warnings), declared.broken
            )
        except (BadRequestError, OSError, UnicodeDecodeError) as error:
            stamp, before = stamp_of(self.path), self._declared
            self.fault = self._why(error)
            self._declared = Declared(before.spaces, before.listed, (self.fault,), before.broken)
        self._stamp = stamp
        for warning in self._declared.warnings:
            log.warning("registry.fault", reason=warning)

    def _why(self, error: Exception) -> str:
        if isinstance(error, UnicodeDecodeError):
            return f"{self.path}: it is not UTF-8 text (byte {error.start + 1}). The registry stays as it was"
        return str(error) if isinstance(error, BadRequestError) else f"{self.path}: {error}"

    def _begin(self) -> tuple[str, ...]:
        """Begin the file with the default; why that cannot be, if it cannot."""
        try:
            write_whole(self.path, self._default.encode())
        except OSError as error:
            return (f"{self.path} cannot be written ({error.strerror}): the default registry is used",)
        return ()


def stamp_of(path: Path) -> Stamp:
    """The file's stamp now."""
    try:
        found = path.stat()
    except OSError:
        return _NOWHERE
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def text_of(path: Path) -> str:
    """The text with plain line ends and no mark of the byte order. Raises OSError and UnicodeDecodeError."""
    return path.read_text(encoding="utf-8-sig")


def default_text() -> str:
    """The registry that a host begins with."""
    return (resources.files("spacedock_worker.registry") / "default.yaml").read_text(encoding="utf-8")


@cache
def shipped() -> dict[str, SpaceEntry]:
    """The Spaces of that registry."""
    return dict(Reader(Path("default.yaml")).read(default_text()).spaces)
