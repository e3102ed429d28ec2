"""Tar streams, piece by piece: files into a container, and untrusted files out of it."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from pathlib import PurePosixPath
from typing import Protocol

from spacedock.errors import SpacedockError

_BLOCK = 512
_OWNER = 1000
# The first day that zip files can tell: programs that pack their inputs fail at 1970.
_MTIME = 315_532_800
_HEADER_BYTES = 64 * 2**10
_EXTENDED = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_END = bytes(_BLOCK)


class Source(Protocol):
    """Where a tar comes from."""

    async def readexactly(self, n: int, /) -> bytes:
        """The next `n` bytes; raises EOFError where there are fewer."""
        ...


class BrokenTarError(SpacedockError):
    """The tar is not one."""


async def pack(files: Mapping[str, bytes], folders: tuple[str, ...]) -> AsyncIterator[bytes]:
    """The tar of these files and folders, owned by uid 1000."""
    for folder in folders:
        yield _header(folder, tarfile.DIRTYPE, 0, 0o755)
    for path, data in files.items():
        yield _header(path, tarfile.REGTYPE, len(data), 0o644)
        yield data
        yield bytes(-len(data) % _BLOCK)
    yield _END * 2


def _header(name: str, kind: bytes, size: int, mode: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.mode = kind, size, mode
    entry.uid = entry.gid = _OWNER
    entry.mtime = _MTIME
    return entry.tobuf(tarfile.PAX_FORMAT)


class Unpacking:
    """Reads a tar entry by entry: what follows an entry is not asked for before the caller goes on."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 0

    async def next(self) -> tarfile.TarInfo | None:
        """The next entry, whatever was read of the last one; None at the end.

        Raises BrokenTarError, and EOFError where the tar breaks off.
        """
        await self._skip()
        header = b""
        while True:
            block = await self._source.readexactly(_BLOCK)
            if block == _END and not header:
                return None
            header += block
            head = _head(block)
            if head.type not in _EXTENDED:
                break
            # A long name comes before the entry that it belongs to, as an entry of its own.
            header += await self._source.readexactly(_checked(_padded(head.size), len(header)))
        entry = _parsed(header)
        self._left = _padded(entry.size) if entry.isreg() else 0
        return entry

    async def read(self, size: int) -> bytes:
        """The next `size` bytes of the present entry."""
        self._left -= size
        return await self._source.readexactly(size)

    async def _skip(self) -> None:
        while self._left > 0:
            await self.read(min(self._left, _HEADER_BYTES))


def inner_path(name: str) -> str | None:
    """An entry's path within the folder that was asked for; None where it cannot be trusted."""
    parts = PurePosixPath(name).parts
    return "/".join(parts[1:]) or None if ".." not in parts and not name.startswith("/") else None


def _head(block: bytes) -> tarfile.TarInfo:
    """What one block of a header says, without its extensions."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise BrokenTarError(str(error)) from error


def _parsed(header: bytes) -> tarfile.TarInfo:
    """The entry that a header with its extensions describes, as the standard library reads it."""
    try:
        with tarfile.open(fileobj=BytesIO(header), mode="r:") as tar:
            entry = tar.next()
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise BrokenTarError(str(error)) from error
    if entry is None or entry.size < 0:
        raise BrokenTarError("no entry")
    return entry


def _checked(size: int, before: int) -> int:
    if not 0 <= size <= _HEADER_BYTES - before:
        raise BrokenTarError("a header is too long")
    return size


def _padded(size: int) -> int:
    return size + -size % _BLOCK
