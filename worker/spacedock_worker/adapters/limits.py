"""How much an app may answer."""

from __future__ import annotations

from dataclasses import dataclass

from spacedock.files import MAX_FILE_BYTES, MAX_JOB_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes at most: of the JSON (or text) of one answer, of one file of it, and of all its files."""

    answer: int = 16 * 2**20
    file: int = MAX_FILE_BYTES
    files: int = MAX_JOB_BYTES
