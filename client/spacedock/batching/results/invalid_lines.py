"""The errors file of a batch: the lines that are no jobs, each with what is wrong with it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from spacedock.batching.results.results_file import written

_LONGEST_TEXT = 1000
_ROW = b'{"line": '


class InvalidLines:
    """Writes invalid lines to a file beside the results, anew in each run that meets one."""

    def __init__(self, output: Path) -> None:
        self.path = output.parent / f"{output.stem}.errors.jsonl"
        self._file: TextIO | None = None

    def add(self, number: int, problem: str, text: str) -> None:
        """Write a line that is no job."""
        row = {"line": number, "error": problem, "text": text[:_LONGEST_TEXT]}
        with written(self.path):
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
            # Other than the results, what is no UTF-8 may stand here.
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; twice is safe."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def forget(self) -> None:
        """Delete what an earlier run wrote, now that no line is invalid; a file of others stays."""
        with suppress(OSError):
            with self.path.open("rb") as file:
                is_ours = file.read(len(_ROW)) == _ROW
            if is_ours:
                self.path.unlink()
