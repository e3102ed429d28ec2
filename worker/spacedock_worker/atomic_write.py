"""Files that are written whole: whoever reads one sees the old or the new. And folders of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PART = ".part"
"""How the names end of files that are not whole yet; they begin with a dot."""


def newest_first(folder: Path) -> list[tuple[float, Path]]:
    """The JSON files in a folder, each with the time of its last change."""
    return sorted(((_changed(path), path) for path in folder.glob("*.json")), reverse=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def write_whole(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = False) -> None:
    """Have the file hold this, with `durable` also after the machine loses its power. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: another process may be writing the same file.
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}-", suffix=PART, delete=False
    ) as part:
        try:
            part.write(data)
            part.flush()
            if durable:
                os.fsync(part.fileno())
            os.chmod(part.name, mode)
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise
