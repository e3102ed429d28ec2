"""A store in a folder: on this machine, or on a share that every host has mounted."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from spacedock._stores.store import CALL_SECONDS, CHUNK, IDENTITY, checked, is_place, seconds_for
from spacedock.errors import StoreAwayError, StoreFullError

_T = TypeVar("_T")

_THREADS = 4
_NEW = "new"
_STALE_SECONDS = 86_400.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
        self._hung: set[Future[Any]] = set()

    async def put(self, place: str, data: bytes) -> None:
        """See `Store.put`."""
        await self._call(self._write, checked(place)[:2], place, data, seconds=seconds_for(len(data)))

    async def get(self, place: str) -> AsyncIterator[bytes]:
        """See `Store.get`."""
        file = await self._call(_opened, self._root / checked(place)[:2] / place)
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
        await self._call(self._unlink, checked(place)[:2], place)

    async def older(self, seconds: float) -> AsyncIterator[list[tuple[str, int]]]:
        """See `Store.older`."""
        now = time.time()
        for part, _, changed in await self._call(self._listed, _NEW):
            if now - changed > _STALE_SECONDS:
                await self._call(self._unlink, _NEW, part)
        for folder in _folders():
            listed = await self._call(self._listed, folder)
            yield [(name, size) for name, size, put in listed if now - put >= seconds and is_place(name)]

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
            (self._root / name).mkdir(exist_ok=True)
            with self._entered(name) as folder:
                self._adopt(folder, 0o777)
        self._write(".", IDENTITY, identity.encode())

    def _write(self, folder: str, name: str, data: bytes) -> None:
        part = uuid.uuid4().hex
        with self._entered(_NEW) as new, self._entered(folder) as there:
            try:
                with os.fdopen(os.open(part, _CREATE, 0o600, dir_fd=new), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    self._adopt(file.fileno(), 0o666)
                os.replace(part, name, src_dir_fd=new, dst_dir_fd=there)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part, dir_fd=new)
                raise

    def _adopt(self, descriptor: int, rights: int) -> None:
        """Give it the group and the rights of the root; and its owner, where we are root and may.

        Without its setgid bit: a hardened unit may not set that, and the group is given here.
        """
        root = self._root.stat()
        with suppress(OSError):
            # A user's namespace may not know the group.
            os.fchown(descriptor, root.st_uid if os.geteuid() == 0 else -1, root.st_gid)
        os.fchmod(descriptor, root.st_mode & rights)

    @contextmanager
    def _entered(self, name: str) -> Iterator[int]:
        """A folder of the root (`.`: itself), open.

        A link in its place is not followed: someone with access to the share could point it at any folder,
        and this process may be root.
        """
        # Joined as text: the root itself may be a link, and a path would drop the dot behind it.
        folder = os.open(f"{self._root}/{name}", _FOLDER)
        try:
            yield folder
        finally:
            os.close(folder)

    def _listed(self, name: str) -> list[tuple[str, int, float]]:
        """The files of a folder with their sizes and when they were put."""
        found = []
        with self._entered(name) as folder, os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    told = entry.stat(follow_symlinks=False)
                    found.append((entry.name, told.st_size, told.st_mtime))
        return found

    def _unlink(self, folder: str, name: str) -> None:
        with self._entered(folder) as there, suppress(FileNotFoundError):
            os.unlink(name, dir_fd=there)

    async def _call(self, work: Callable[..., _T], *args: object, seconds: float = CALL_SECONDS) -> _T:
        if len(self._hung) == _THREADS:
            # What waits for a thread holds its data meanwhile.
            raise self._away("it hangs: earlier calls have not come back")
        call = self._threads.submit(work, *args)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(call)
        except TimeoutError:
            raise self._away(f"no answer within {seconds:.0f} s") from None
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFullError(self.url) from error
            raise self._away(error.strerror or str(error)) from error
        finally:
            if call.running():
                self._hung.add(call)
                call.add_done_callback(self._hung.discard)

    def _away(self, why: str) -> StoreAwayError:
        advice = f"See that the folder is there, mounted, and that this user ({os.geteuid()}) may write to it"
        return StoreAwayError(self.url, why, advice)


def _folders() -> list[str]:
    return [f"{number:02x}" for number in range(256)]


def _opened(path: Path) -> IO[bytes] | None:
    """The file to read, unbuffered; None if it does not exist, or is a link or a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    file = os.fdopen(descriptor, "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        return None
    return file
