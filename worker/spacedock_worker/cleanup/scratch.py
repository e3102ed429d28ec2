"""Files of the daemon's own that do not last: scratch, parts of files, repositories without a Space."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

from spacedock_worker.atomic_write import PART
from spacedock_worker.cleanup.report import Report
from spacedock_worker.registry.registry import Registry

SCRATCH = "scratch"
"""The folder of short-lived files below the state directory."""


class Scratch:
    """The scratch folder, the stored repositories, and what killed writers left beside the registry."""

    def __init__(self, folder: Path, repositories: Path, registry: Registry) -> None:
        self._folder, self._repositories, self._registry = folder, repositories, registry

    async def clean(self, report: Report, before: float) -> None:
        """Remove what was last written before that time (seconds since the epoch)."""
        await asyncio.to_thread(self._clean, report, before)

    def _clean(self, report: Report, before: float) -> None:
        for path in [*self._leftovers()]:
            try:
                newest, size = _weigh(path)
                if newest >= before:
                    continue
                if not report.dry_run:
                    _remove(path)
            except OSError as error:
                report.left.append(f"scratch {path.name}: {error.strerror or error}")
            else:
                report.add("scratch", size, path.name)

    def _leftovers(self) -> Iterator[Path]:
        # Links could lead anywhere; none of what we write is one.
        yield from _inside(self._folder, "*")
        yield from _inside(self._repositories, f"*{PART}")
        yield from _inside(self._registry.path.parent, f".*{PART}")
        snapshot = self._registry.snapshot()
        if snapshot.warnings:
            # An entry that cannot be read may be the one that names a repository.
            return
        kept = {Path(e.repository).resolve() for e in snapshot.spaces.values() if e.repository}
        yield from (path for path in _inside(self._repositories, "*.tar") if path.resolve() not in kept)


def _inside(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in sorted(folder.glob(pattern)) if not path.is_symlink())


def _weigh(path: Path) -> tuple[float, int]:
    """When the file or folder was last written to, and its bytes."""
    paths = [path, *(path.rglob("*") if path.is_dir() else ())]
    stats = [one.lstat() for one in paths]
    return max(stat.st_mtime for stat in stats), sum(stat.st_size for stat in stats if stat.st_nlink)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
