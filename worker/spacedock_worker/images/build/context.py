"""What the builder gets: one deterministic tar, and the digest that names its content."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO

from spacedock_worker.images.build.repository import Repository, RepositoryFile

_IN_MEMORY = 16 * 2**20
_TIME = 946_684_800
"""The time of every file: the year 2000. The image keeps it, and a zip file has no time before 1980."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """A tar, open at its start, and the hex SHA-256 of its content; the owner closes `tar`."""

    tar: IO[bytes]
    digest: str


def pack(extra: Mapping[str, bytes], repository: Repository, prefix: str) -> BuildContext:
    """The files of `extra` by their names, and the repository's others below `prefix` ("app/" or ""); blocks.

    The same content gives the same bytes: one time, no owners, files in the order of their names.
    """
    packed = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller gets it open
    try:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(extra):
                archive.addfile(_entry(name, len(extra[name]), executable=False), BytesIO(extra[name]))
            for file in repository.files:
                if prefix + file.path not in extra:
                    _add(archive, prefix, file)
        packed.seek(0)
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
        packed.seek(0)
    except BaseException:
        packed.close()
        raise
    return BuildContext(packed, digest)


def _add(archive: tarfile.TarFile, prefix: str, file: RepositoryFile) -> None:
    entry = _entry(prefix + file.path, file.size, executable=file.executable)
    if file.link:
        entry.type, entry.linkname = tarfile.SYMTYPE, file.link
        archive.addfile(entry)
        return
    with file.open() as content:
        archive.addfile(entry, content)


def _entry(name: str, size: int, *, executable: bool) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o755 if executable else 0o644, _TIME
    return entry
