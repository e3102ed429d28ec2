"""A Space's repository as a list of files, from a directory of this host or from a tar that was sent."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from spacedock.files import MAX_REPOSITORY_BYTES, MAX_REPOSITORY_FILES
from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError, lacks_descriptors

MAX_ENTRIES = MAX_REPOSITORY_FILES
MAX_BYTES = 512 * 2**20

_BY_DIGEST = re.compile(r"([0-9a-f]{64})\.tar")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_IGNORED = frozenset({".git", "__pycache__", ".venv"})
_README_BYTES = 2**20
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """One file: `path` is relative, with forward slashes; `open` gives its `size` bytes.

    A symbolic link has `link`, what it points to, and no bytes.
    """

    path: str
    size: int
    executable: bool
    open: Callable[[], IO[bytes]]
    link: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """The files in the order of their paths; `fingerprint` changes whenever the content may have."""

    files: tuple[RepositoryFile, ...]
    fingerprint: str

    def __contains__(self, path: str) -> bool:
        return self._file(path) is not None

    def text(self, path: str) -> str:
        """The text of a small file (its first 1 MB); empty where there is no such file."""
        if (file := self._file(path)) is None:
            return ""
        with file.open() as content:
            return content.read(_README_BYTES).decode("utf-8", errors="replace")

    def _file(self, path: str) -> RepositoryFile | None:
        """The regular file at `path`, through links, as the engine finds it."""
        files = {file.path: file for file in self.files}
        links = [file.path for file in self.files if file.link]
        for _ in range(_MOST_LINKS):
            through = next((link for link in links if f"{path}/".startswith(f"{link}/")), None)
            if through is None:
                return files.get(path)
            target = posixpath.join(posixpath.dirname(through), files[through].link)
            path = posixpath.normpath(target + path[len(through) :])
        return None


def read_repository(source: Path | bytes) -> Repository:
    """The repository in a directory or a tar (bytes or file; plain or gzip); blocks, so call it in a thread.

    A tar that is named by its digest (the worker stores those that clients send so) must have it.
    Raises StepError: `repository_unavailable` where the directory is not there, `bad_input` where the tar
    is broken or holds devices, and where either has names or links that lead out, or is over the limits.
    """
    if isinstance(source, bytes):
        return _from_tar(source, MAX_REPOSITORY_BYTES)
    if not source.is_file():
        return _from_directory(source)
    _check(0, source.stat().st_size)
    data = source.read_bytes()
    named = _BY_DIGEST.fullmatch(source.name)
    if named is not None and hashlib.sha256(data).hexdigest() != named[1]:
        raise refused(f"the content of {source} does not match its digest: the file was changed")
    return _from_tar(data, MAX_BYTES if named is None else MAX_REPOSITORY_BYTES)


def _from_directory(root: Path) -> Repository:
    if not root.is_dir():
        raise StepError(
            Stage.BUILD,
            ErrorKind.REPOSITORY_UNAVAILABLE,
            f"there is no directory {root} on the worker's host. Correct `repository` in the registry.",
        )
    stamp = hashlib.sha256(str(root).encode())
    files, total = [], 0
    for path in sorted(_walk(root)):
        status = path.lstat()
        name = str(_safe(path.relative_to(root).as_posix()))
        link = os.readlink(path) if path.is_symlink() else ""
        size = 0 if link else status.st_size
        total += size
        stamp.update(f"{name}\0{size}\0{status.st_mtime_ns}\0{status.st_mode}\0{link}\n".encode())
        executable = bool(status.st_mode & 0o100)
        files.append(RepositoryFile(name, size, executable, _opener(path), _inside(name, link)))
        _check(len(files), total)
    return Repository(_by_path(files), stamp.hexdigest())


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, onerror=_unread):
        folders[:] = [name for name in folders if name not in _IGNORED]
        if Path(folder) == root / ".cache":
            # huggingface_hub keeps its notes on a download there.
            folders[:] = [name for name in folders if name != "huggingface"]
        for path in (Path(folder, name) for name in (*names, *folders)):
            if path.is_symlink() or path.is_file():
                yield path


def _unread(error: OSError) -> None:
    # A folder that may not be read is left out; one that cannot be opened now is no empty one.
    if lacks_descriptors(error):
        raise error


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _from_tar(data: bytes, most: int) -> Repository:
    plain = _inflated(data, min(most, MAX_BYTES)) if data.startswith(b"\x1f\x8b") else data
    try:
        with tarfile.open(fileobj=BytesIO(plain), mode="r:") as archive:
            files = _members(archive, memoryview(plain))
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise refused(f"it is not a whole tar archive ({error})") from error
    return Repository(_by_path(files), hashlib.sha256(data).hexdigest())


def _inflated(data: bytes, most: int) -> bytes:
    try:
        inflater = zlib.decompressobj(wbits=31)
        plain = inflater.decompress(data, most + MAX_ENTRIES * 1024)
    except zlib.error as error:
        raise refused(f"it is not a whole tar archive ({error})") from error
    if inflater.unconsumed_tail:
        raise refused(f"it is over {most // 2**20} MB unpacked")
    return plain


def _members(archive: tarfile.TarFile, data: memoryview) -> list[RepositoryFile]:
    files: list[RepositoryFile] = []
    total = 0
    for count, member in enumerate(archive, start=1):
        total += member.size
        _check(count, total)
        path = _safe(member.name)
        if member.isdir() or _IGNORED & set(path.parts):
            continue
        if member.issym():
            link = _inside(str(path), member.linkname)
            files.append(RepositoryFile(str(path), 0, executable=False, open=BytesIO, link=link))
            continue
        if not member.isreg() or member.issparse():
            raise refused(
                f"{member.name!r} is a hard link or a device; only files, directories and symbolic links "
                "are taken"
            )
        content = data[member.offset_data : member.offset_data + member.size]
        if len(content) < member.size:
            raise refused(f"it ends in the middle of {member.name!r}")
        files.append(RepositoryFile(str(path), member.size, bool(member.mode & 0o100), _reader(content)))
    return files


def _reader(content: memoryview) -> Callable[[], IO[bytes]]:
    return lambda: BytesIO(content)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise refused(f"the path {name!r} leads out of the repository")
    if _CONTROL.search(name):
        raise refused(f"the path {name!r} has a control character")
    return path


def _inside(path: str, link: str) -> str:
    """What the link at `path` points to. Raises StepError where that is not in the repository."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    if link.startswith("/") or target.split("/")[0] == "..":
        raise refused(f"{path} is a link that leads out of the repository")
    if _CONTROL.search(link):
        raise refused(f"the link {path} points to a name with a control character")
    return link


def _by_path(files: list[RepositoryFile]) -> tuple[RepositoryFile, ...]:
    # A tar may name a file twice; as for tar itself, the last one counts.
    named = {file.path: file for file in files}
    for path in named:
        # The engine would unpack it at another place: over the Dockerfile that was examined, say.
        if any(str(above) in named for above in PurePosixPath(path).parents):
            raise refused(f"{path!r} is below what is no directory")
    return tuple(sorted(named.values(), key=lambda file: file.path))


def _check(entries: int, size: int) -> None:
    if entries > MAX_ENTRIES:
        raise refused(f"it has more than {MAX_ENTRIES:,} entries")
    if size > MAX_BYTES:
        raise refused(f"it is over {MAX_BYTES // 2**20} MB unpacked")


def refused(why: str) -> StepError:
    """The error for a repository that cannot be used."""
    return StepError(
        Stage.BUILD,
        ErrorKind.BAD_INPUT,
        f"the Space's repository cannot be used: {why}. Correct it and send it again.",
    )
