"""Files that are written whole: whoever reads one sees the old or the new, and never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

Stamp = tuple[int, int, int]
"""What changes with a file: when it was written, its inode, its size."""

NOWHERE: Stamp = (0, 0, 0)
"""The stamp of a file that is not there."""

PART = ".part"
"""How the names end of files that are not whole yet."""


def stamp_of(path: Path) -> Stamp:
    """The file's stamp now."""
    try:
        found = path.stat()
    except OSError:
        return NOWHERE
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Have the file hold this, safe on the disk. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: another process may be writing the same file.
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}-", suffix=PART, delete=False
    ) as part:
        try:
            part.write(data)
            part.flush()
            os.fsync(part.fileno())
            os.chmod(part.name, mode)
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise
