"""Which Spaces run with a read-only root: all, but those that were seen to need theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import structlog

from spacedock_worker.atomic_write import write_whole

log = structlog.get_logger()

_VERSION = 1
_REMEMBERED = 1024
# C's words are Python's, Go's, Rust's, Java's, PHP's and .NET's too; Node says EROFS first.
_REFUSED_WRITES = re.compile(
    r"read-only file ?system"
    r"|\bEROFS\b"
    r"|\berrno[ =:]+30\b"
    r"|\bos error 30\b"
    r"|ReadOnlyFileSystemException"
    r"|attempt to write a readonly database"
    r"|\bnot (?:a )?writ(?:e)?able\b",
    re.IGNORECASE,
)


def tells_refused_write(text: str) -> bool:
    """Whether a program says that it could not write to a read-only root (pure).

    A Space that only says so gains a writable root: one wall of many, and its disk stays bounded.
    """
    return _REFUSED_WRITES.search(text) is not None


class Roots:
    """Remembers the Spaces' programs that need a writable root, in a file of `state` (None: only meanwhile).

    `app` is what `ContainerSpec.app` gives: a Space that shares its image with others opens its own root
    alone. Never raises: what cannot be read or written costs one more failed start, no more.
    """

    def __init__(self, state: Path | None) -> None:
        self._file = state / "writable-roots.json" if state is not None else None
        self._writable = dict.fromkeys(_read(self._file)) if self._file is not None else {}

    def read_only(self, app: str) -> bool:
        """Whether the program's root is to be read-only."""
        return app not in self._writable

    def remember_writable(self, app: str) -> None:
        """The program needs its root; of too many, those told first are forgotten."""
        if app in self._writable:
            return
        self._writable[app] = None
        while len(self._writable) > _REMEMBERED:
            del self._writable[next(iter(self._writable))]
        if self._file is not None:
            _write(self._file, list(self._writable))


def _read(file: Path) -> list[str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["version"] != _VERSION:
            return []
        return [digest for digest in found["digests"] if isinstance(digest, str)][-_REMEMBERED:]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("roots.not_read", reason=str(error))
        return []


def _write(file: Path, digests: list[str]) -> None:
    try:
        write_whole(file, json.dumps({"version": _VERSION, "digests": digests}).encode())
    except OSError as error:
        log.warning("roots.not_written", reason=str(error))
