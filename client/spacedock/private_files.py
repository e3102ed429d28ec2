"""Files that are in this client's hands only, because their job was deleted when it was read."""

from __future__ import annotations


class Held:
    """Bytes by digest, at most `limit` of them; what came first goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._files: dict[str, bytes] = {}

    def add(self, digest: str, data: bytes) -> None:
        """Hold a file; again is safe."""
        if digest in self._files:
            return
        self._files[digest] = data
        self._size += len(data)
        while self._size > self._limit:
            self._size -= len(self._files.pop(next(iter(self._files))))

    def get(self, digest: str) -> bytes | None:
        """The file, or None where it is not held (any more)."""
        return self._files.get(digest)
