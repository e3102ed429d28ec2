"""Tar streams, piece by piece: files into a container, and what a program left out of it."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from io import BytesIO
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

import structlog

from spacedock.errors import SpacedockError
from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.task import (
    OUTPUT_FOLDER,
    OUTPUT_TEXT,
    WORKSPACE,
    Captured,
    TaskLimits,
)
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_BLOCK = 512
_OWNER = 1000
# The first day that zip files can tell: programs that pack their inputs fail at 1970.
_MTIME = 315_532_800
_HEADER_BYTES = 64 * 2**10
_EXTENDED = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_END = bytes(_BLOCK)


class TarSource(Protocol):
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

    def __init__(self, source: TarSource) -> None:
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


_SECONDS = 120.0

_T = TypeVar("_T")

CollectedFiles = tuple[tuple[str, bytes], ...]


async def collect(engine: Engine, name: str, limits: TaskLimits) -> tuple[Captured | None, CollectedFiles]:
    """The text in output.txt (None where it is empty), and the files of the output folder by their paths.

    Links, devices and pipes are left where they are. Raises StepError at stage `output`: `bad_output` where
    the files are over the limits, `timeout`, `crashed` where the container is gone, `docker_unavailable`.
    """
    text = await _read(engine, name, OUTPUT_TEXT, lambda archive: _text(archive, limits.text))
    files = await _read(engine, name, OUTPUT_FOLDER, lambda archive: _files(archive, limits))
    return text, files or ()


async def _text(archive: Unpacking, limit: int) -> Captured | None:
    entry = await archive.next()
    if entry is None or not entry.isreg() or entry.size == 0:
        return None
    return Captured(await archive.read(min(entry.size, limit)), truncated=entry.size > limit)


async def _files(archive: Unpacking, limits: TaskLimits) -> CollectedFiles:
    found: list[tuple[str, bytes]] = []
    total = count = skipped = 0
    while (entry := await archive.next()) is not None:
        count += 1
        total += entry.size
        if count > limits.count:
            raise _refused(f"has more than {limits.count} files and folders")
        if entry.isdir():
            continue
        path = inner_path(entry.name)
        if path is None or not entry.isreg():
            skipped += 1
            continue
        if entry.size > limits.file:
            allowed = f"{_megabytes(entry.size)}, of at most {_megabytes(limits.file)}"
            raise _refused(f"has a file of {allowed} ({path[-80:]!r})")
        if total > limits.files:
            raise _refused(f"holds more than {_megabytes(limits.files)}")
        found.append((path, await archive.read(entry.size)))
    if skipped:
        log.info("task.entries_skipped", count=skipped)
    return tuple(found)


async def _read(
    engine: Engine, name: str, path: str, take: Callable[[Unpacking], Awaitable[_T]]
) -> _T | None:
    """What `take` makes of a file's or folder's tar, as it comes from the engine; None where there is none.

    Hangs up when `take` returns, wherever in the tar that is.
    """
    try:
        async with (
            engine.stream(Stage.OUTPUT, _SECONDS) as docker,
            # aiodocker's own get_archive reads the whole into memory.
            docker._query(f"containers/{name}/archive", params={"path": f"{WORKSPACE}/{path}"}) as response,
        ):
            return await take(Unpacking(response.content))
    except EngineRefusedError as error:
        if not error.not_found:
            raise _refused(f"cannot be read: {error.message}") from error
        if "No such container" in error.message:
            message = "the container is gone: somebody removed it."
            raise StepError(Stage.OUTPUT, ErrorKind.CRASHED, message) from error
        return None
    except (BrokenTarError, EOFError) as error:
        raise _refused("cannot be read to its end") from error
    except TimeoutError as error:
        message = f"the program's output could not be read within {_SECONDS:g} s. Have it write less."
        raise StepError(Stage.OUTPUT, ErrorKind.TIMEOUT, message) from error


def _refused(what: str) -> StepError:
    return StepError(
        Stage.OUTPUT, ErrorKind.BAD_OUTPUT, f"the program's output folder {what}. Have it write less there."
    )


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
