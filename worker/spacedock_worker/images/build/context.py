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


@dataclass(frozen=True, slots=True)
class BuildContext:
    """A tar, open at its start, and the hex SHA-256 of its content; the owner closes `tar`."""

    tar: IO[bytes]
    digest: str


def pack(extra: Mapping[str, bytes], repository: Repository, prefix: str) -> BuildContext:
    """The files of `extra` by their names, and the repository's others below `prefix` ("app/" or ""); blocks.

    The same content gives the same bytes: no times, no owners, files in the order of their names.
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
    with file.open() as content:
        archive.addfile(_entry(prefix + file.path, file.size, executable=file.executable), content)


def _entry(name: str, size: int, *, executable: bool) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o755 if executable else 0o644
    return entry
