"""A store in a folder: on this machine, or on a share that every host has mounted."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from spacedock._stores.store import CALL_SECONDS, CHUNK, IDENTITY, checked, is_place, seconds_for
from spacedock.errors import StoreAwayError, StoreFullError

_T = TypeVar("_T")

_THREADS = 4
_NEW = "new"
_STALE_SECONDS = 86_400.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderStore:
    """Files at `ab/PLACE` under a root, by the first two digits of their digests.

    All folders are made with the store: where they are missing the share is not mounted, and nothing is
    written beneath. Files and folders have the group and the rights of the root, so that a share's owner says
    who may use it.
    """

    def __init__(self, url: str, root: Path) -> None:
        self.url, self._root = url, root
        # Threads of its own: a share that hangs must not hold those that others need.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")

    async def put(self, place: str, data: bytes) -> None:
        """See `Store.put`."""
        await self._call(self._write, self._path(place), data, seconds=seconds_for(len(data)))

    async def get(self, place: str) -> AsyncIterator[bytes]:
        """See `Store.get`."""
        file = await self._call(_opened, self._path(place))
        if file is None:
            if await self.identity() is None:
                raise self._away("it is not mounted")
            raise FileNotFoundError(place)
        try:
            while chunk := await self._call(file.read, CHUNK):
                yield chunk
        finally:
            file.close()

    async def delete(self, place: str) -> None:
        """See `Store.delete`."""
        await self._call(_unlink, self._path(place))

    async def older(self, seconds: float) -> AsyncIterator[list[tuple[str, int]]]:
        """See `Store.older`."""
        now = time.time()
        for path, _, changed in await self._call(_listed, self._root / _NEW):
            if now - changed > _STALE_SECONDS:
                await self._call(_unlink, path)
        for folder in _folders():
            listed = await self._call(_listed, self._root / folder)
            yield [(p.name, size) for p, size, put in listed if now - put >= seconds and is_place(p.name)]

    async def room(self) -> tuple[int, int]:
        """See `Store.room`."""
        found = await self._call(os.statvfs, self._root)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    async def identity(self) -> str | None:
        """See `Store.identity`."""
        file = await self._call(_opened, self._root / IDENTITY)
        if file is None:
            return None
        with file:
            return (await self._call(file.read, 100)).decode(errors="replace").strip() or None

    async def make(self, identity: str) -> None:
        """See `Store.make`. The folder itself must be there: a share that is not mounted often is not."""
        await self._call(self._make, identity)

    def _make(self, identity: str) -> None:
        for name in (_NEW, *_folders()):
            folder = self._root / name
            folder.mkdir(exist_ok=True)
            self._adopt(folder)
        self._write(self._root / IDENTITY, identity.encode())

    def _write(self, path: Path, data: bytes) -> None:
        part = self._root / _NEW / uuid.uuid4().hex
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._adopt(part)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    def _adopt(self, path: Path) -> None:
        """Give it the group and the rights of the root; and its owner, where we are root and may.

        Without its setgid bit: a hardened unit may not set that, and the group is given here.
        """
        root = self._root.stat()
        with suppress(OSError):
            # A user's namespace may not know the group.
            os.chown(path, root.st_uid if os.geteuid() == 0 else -1, root.st_gid)
        path.chmod(root.st_mode & (0o777 if path.is_dir() else 0o666))

    def _path(self, place: str) -> Path:
        return self._root / checked(place)[:2] / place

    async def _call(self, work: Callable[..., _T], *args: object, seconds: float = CALL_SECONDS) -> _T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, work, *args)
        except TimeoutError:
            raise self._away(f"no answer within {seconds:.0f} s") from None
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFullError(self.url) from error
            raise self._away(error.strerror or str(error)) from error

    def _away(self, why: str) -> StoreAwayError:
        advice = f"See that the folder is there, mounted, and that this user ({os.geteuid()}) may write to it"
        return StoreAwayError(self.url, why, advice)


def _folders() -> list[str]:
    return [f"{number:02x}" for number in range(256)]


def _opened(path: Path) -> IO[bytes] | None:
    """The file to read, unbuffered; None if there is none. A link or a pipe in its place is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    file = os.fdopen(descriptor, "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        return None
    return file


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _listed(folder: Path) -> list[tuple[Path, int, float]]:
    """The files of a folder with their sizes and when they were put."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                told = entry.stat(follow_symlinks=False)
                found.append((Path(entry.path), told.st_size, told.st_mtime))
    return found
