"""Saving the files of results: under names that are safe here, and nothing that is there is written over."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from spacedock.batching.batch_client import BatchClient
from spacedock.files import FileRef

_NAME_BYTES = 200
"""Bytes of a saved file's name: file systems take 255, and a number may come to it."""


async def save(
    client: BatchClient, files: tuple[FileRef, ...], directory: Path, prefix: str = ""
) -> list[Path]:
    """Save a result's files, their names after `prefix`; one that another content has gets a number."""
    return [
        await asyncio.to_thread(_write, directory, f"{prefix}{ref.name}", await client.fetch(ref))
        for ref in files
    ]


async def save_apart(client: BatchClient, files: tuple[FileRef, ...], parent: Path, name: str) -> list[Path]:
    """Save a result's files in a folder of their own; one that holds something else gets a number."""
    if not files:
        return []
    data = [await client.fetch(ref) for ref in files]
    folder = await asyncio.to_thread(_own_folder, parent, file_name(name), data)
    return [
        await asyncio.to_thread(_write, folder, ref.name, content)
        for ref, content in zip(files, data, strict=True)
    ]


def _own_folder(parent: Path, name: str, data: list[bytes]) -> Path:
    folder, number = parent / name, 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if _has_all(folder, data):
                return folder
            number += 1
            folder = parent / f"{name}-{number}"
        else:
            return folder


def _has_all(folder: Path, data: list[bytes]) -> bool:
    """Whether the folder holds just these contents."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    there = list(folder.iterdir())
    if not all(stat.S_ISREG(path.lstat().st_mode) for path in there):
        return False
    sizes = sorted(path.stat().st_size for path in there)
    return sizes == sorted(map(len, set(data))) and {path.read_bytes() for path in there} == set(data)


def _write(directory: Path, name: str, data: bytes) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path, number = directory / file_name(name), 1
    while not _holds(path, data):
        number += 1
        path = directory / f"{Path(file_name(name)).stem}-{number}{path.suffix}"
    return path


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file has the data, now or before; nothing that is there is written to, or followed."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        # A pipe would never end, and a link leads elsewhere.
        return stat.S_ISREG(path.lstat().st_mode) and path.read_bytes() == data
    return True


def file_name(name: str) -> str:
    """A name that is safe to create here: no folders, nothing invisible, not hidden, not too long."""
    seen = "".join(character if character.isprintable() else "_" for character in Path(name).name)
    safe = Path(seen.lstrip(".") or "file")
    suffix = _cut(safe.suffix, _NAME_BYTES // 4)
    return _cut(safe.stem, _NAME_BYTES - len(suffix.encode())) + suffix


def _cut(text: str, limit: int) -> str:
    """The text's first characters, at most `limit` bytes of UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")
