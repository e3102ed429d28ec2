"""Where each line's row is in a results file: 24 bytes a row, so that a million need little memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spacedock.batching.results.row_forms import RowForm


class RowPlaces:
    """The last row of each line of a results file, which stays as it is; a torn row counts as none."""

    def __init__(self, path: Path, form: RowForm) -> None:
        lines, begins, sizes = array("Q"), array("Q"), array("Q")
        with path.open("rb") as file:
            begin = len(file.read(len(form.header)))
            for raw in form.split(file):
                if not form.is_torn(raw):
                    lines.append(int(form.read(raw)["line"]))
                    begins.append(begin)
                    sizes.append(len(raw))
                begin += len(raw)
        # Rows of one line stay in their order.
        order = sorted(range(len(lines)), key=lines.__getitem__)
        self._lines, self._begins, self._sizes = (
            array("Q", (column[place] for place in order)) for column in (lines, begins, sizes)
        )

    def row(self, file: BinaryIO, line: int) -> bytes:
        """The row of a line, out of the file; empty where it has none."""
        place = bisect_right(self._lines, line) - 1
        return self._read(file, place) if place >= 0 and self._lines[place] == line else b""

    def rows(self, file: BinaryIO) -> Iterator[bytes]:
        """All rows, in the order of their lines."""
        last = len(self._lines) - 1
        for place, line in enumerate(self._lines):
            if place == last or self._lines[place + 1] != line:
                yield self._read(file, place)

    def _read(self, file: BinaryIO, place: int) -> bytes:
        file.seek(self._begins[place])
        return file.read(self._sizes[place])
