"""Which images need a root that they can write: found out once, and remembered on this host."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from pathlib import Path

import structlog

log = structlog.get_logger()

_VERSION = 1
_REMEMBERED = 1024
# EROFS as the C library, Python, Node, Go, Java and shells say it.
_FAILED_WRITE = re.compile(r"read-only file ?system|\berofs\b|\[errno 30\]|os error 30", re.IGNORECASE)


def failed_write(said: str) -> bool:
    """Whether an app's last words tell that it could not write a read-only root."""
    return _FAILED_WRITE.search(said) is not None


class Roots:
    """The digests of images that did not work with a read-only root; `folder` None remembers for a life only.

    Never raises for the file: what cannot be remembered is found out again.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "writable-roots.json" if folder is not None else None
        self._writable: OrderedDict[str, None] = OrderedDict.fromkeys(self._read())

    def writable(self, digest: str) -> bool:
        """Whether the image needs a root that it can write."""
        return digest in self._writable

    def remember(self, digest: str) -> None:
        """The image did not work with a read-only root."""
        self._writable[digest] = None
        while len(self._writable) > _REMEMBERED:
            self._writable.popitem(last=False)
        if self._path is None:
            return
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"version": _VERSION, "digests": list(self._writable)}))
            os.replace(part, self._path)
        except OSError as error:
            log.warning("roots.not_remembered", reason=str(error))

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return [str(digest) for digest in kept["digests"]] if kept["version"] == _VERSION else []
        except (OSError, ValueError, TypeError, KeyError):
            return []
