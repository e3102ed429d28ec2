"""The rows of a results file: a line of JSON or of CSV for each result, and where each line's row is."""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from spacedock.errors import BadRequestError

_ESCAPED = re.compile("[\x7f-\x9f\ud800-\udfff]")
"""What JSON writes as it is: terminals obey the first, and the others, of odd file names, are no UTF-8."""
ROW = b'{"line": '
"""How every line of a results file begins, also one that was torn in the middle."""


class JsonRows:
    """A line of JSON for each result: all that is known of it."""

    header = b""

    def split(self, file: Iterable[bytes]) -> Iterator[bytes]:
        """The rows of a file behind its header; the last may be torn."""
        return iter(file)

    def is_torn(self, raw: bytes) -> bool:
        """Whether a last row was cut off while it was written."""
        return not raw.endswith(b"\n") and (raw.startswith(ROW) or ROW.startswith(raw))

    def read(self, raw: bytes) -> dict[str, Any]:
        """The object. Raises ValueError, RecursionError."""
        if not raw.endswith(b"\n"):
            raise ValueError("the last line is no result, torn or whole")
        row: dict[str, Any] = json.loads(raw)
        return row

    def written(self, row: Mapping[str, Any]) -> str:
        """One line."""
        text = json.dumps(row, ensure_ascii=False)
        return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"

    def renumbered(self, raw: bytes, number: int) -> bytes:
        """The line with another number."""
        return self.written(json.loads(raw) | {"line": number}).encode()


_COLUMNS = (
    *("line", "id", "file", "prompt", "state", "answer", "degraded", "answered_by", "error_kind", "error"),
    *("seconds", "saved", "job", "asked", "batch", "run"),
)


class CsvRows:
    """A row of CSV for each result: the answer as text, who gave it, and the error if there is no answer."""

    header = (",".join(_COLUMNS) + "\n").encode()

    def split(self, file: Iterable[bytes]) -> Iterator[bytes]:
        """The rows, which may have line feeds within their quotes."""
        row = b""
        for line in file:
            row += line
            if row.count(b'"') % 2 == 0:
                yield row
                row = b""
        if row:
            yield row

    def is_torn(self, raw: bytes) -> bool:
        """Whether the row has no end."""
        return raw.count(b'"') % 2 == 1 or not raw.endswith(b"\n")

    def read(self, raw: bytes) -> dict[str, Any]:
        """The cells, named as in JSON. Raises ValueError for a row that is not ours."""
        cell = dict(zip(_COLUMNS, self._cells(raw), strict=True))
        row: dict[str, Any] = {key: cell[key] for key in ("line", "state", "asked", "batch", "run")}
        row |= {"id": cell["job"], "degraded": cell["degraded"] == "yes", "row_id": cell["id"] or None}
        if cell["file"]:
            row |= {"file": cell["file"]}
        if cell["error_kind"]:
            row["error"] = {"kind": cell["error_kind"], "message": cell["error"]}
        return row

    def written(self, row: Mapping[str, Any]) -> str:
        """The row."""
        output, error, by = row["output"], row.get("error") or {}, row.get("answered_by") or {}
        answer = output["text"] if output["text"] is not None else output["data"]
        cells = {
            "line": row["line"],
            "id": row.get("row_id"),
            "file": row.get("file") or "; ".join(row.get("files", ())),
            "prompt": row["prompt"],
            "state": row["state"],
            "answer": answer if isinstance(answer, str | None) else json.dumps(answer, ensure_ascii=False),
            "degraded": "yes" if row["degraded"] else "no",
            "answered_by": by.get("name"),
            "error_kind": error.get("kind"),
            "error": error.get("message"),
            "seconds": round(row["timings"]["total"], 3),
            "saved": "; ".join(row.get("saved", ())),
            "job": row["id"],
            "asked": row["asked"],
            "batch": row["batch"],
            "run": row["run"],
        }
        return _csv([cells[name] for name in _COLUMNS])

    def renumbered(self, raw: bytes, number: int) -> bytes:
        """The row with another number."""
        return _csv([number, *self._cells(raw)[1:]]).encode()

    def _cells(self, raw: bytes) -> list[str]:
        (cells,) = csv.reader(io.StringIO(raw.decode(), newline=""), strict=True)
        return cells


def _csv(cells: Iterable[Any]) -> str:
    out = io.StringIO()
    # Each cell with one of these two characters is quoted.
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n").encode(errors="backslashreplace").decode() + "\n"


RowForm = JsonRows | CsvRows
"""How results are written, one after the other, and read again."""


def form_of(suffix: str) -> RowForm:
    """The form of a results file by its name's ending. Raises BadRequestError."""
    if suffix.lower() in {".xlsx", ".xls", ".parquet"}:
        raise BadRequestError(f"results are not written as {suffix}: choose -o with .jsonl or .csv")
    return CsvRows() if suffix.lower() == ".csv" else JsonRows()


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
