"""Batches as tables: CSV with any usual separator, a job for each row."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection

from spacedock._wire.wire import MAX_REQUEST_BYTES
from spacedock.batching.sources.line import FIELDS, ROW_ID, BadLinesError, BatchLine

_SEPARATORS = (",", ";", "\t", "|")
_WORD = re.compile(r"\w[\w .:-]*|")
_UNNAMED = re.compile(r"Unnamed: \d+")
_OWN = ("prompt", "file", ROW_ID)
_EXCEL = re.compile(r'"?sep=([,;|\t])"?')
_MOST_HEADER = 10_000


def looks_like_table(text: str) -> bool:
    """Whether the first line is a table's header: it names a prompt or a file beside other columns."""
    skipped, separator = _beginning(text)
    header = text.split("\n", skipped + 1)[skipped][:_MOST_HEADER]
    if header.strip().lower() == "prompt":
        return True
    names = _cells(header, separator)
    lower = {name.lower() for name in names}
    named = "prompt" in lower or ("file" in lower and not any(" " in name for name in names))
    return len(names) > 1 and named and all(map(_WORD.fullmatch, names))


def table_lines(source: str, text: str, labels: Collection[str], *, tabs: bool = False) -> list[BatchLine]:
    """Read each row: its columns are a request's fields, `file`, labels, or else inputs by their names.

    Labels are `id`, columns without a name, and those in `labels`; an empty cell is left out. Raises
    BadLinesError.
    """
    # A longer cell is told as a prompt that is too long, with its line.
    csv.field_size_limit(16 * MAX_REQUEST_BYTES)
    skipped, separator = _beginning(text)
    body = io.StringIO("\n".join(text.split("\n")[skipped:]), newline="")
    reader = csv.reader(body, delimiter="\t" if tabs else separator, strict=True)
    ended, lines = skipped, []
    try:
        names = [name.strip() for name in next(reader)]
        columns = _columns(source, skipped + 1, names, labels)
        ended += reader.line_num
        for cells in reader:
            ended = skipped + reader.line_num
            lines += _row(source, ended, cells, columns)
    except csv.Error as error:
        raise BadLinesError(source, [_broken(ended + 1, skipped + reader.line_num, error)]) from error
    return lines


def _beginning(text: str) -> tuple[int, str]:
    """How many lines come before the header (empty ones, or Excel's `sep=;`), and the separator."""
    for skipped, line in enumerate(text.split("\n")):
        if given := _EXCEL.fullmatch(line):
            return skipped + 1, given[1]
        if line.strip():
            return skipped, _separator(line[:_MOST_HEADER])
    return 0, ","


def _broken(begun: int, reached: int, error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return f"line {begun}: a quote opens in this row and never closes. Inside of a cell, double it"
    to = f", at line {reached}" if reached > begun else ""
    return f"line {begun}: {error}{to}. Double the quotes inside of a cell"


def _separator(header: str) -> str:
    """The separator that shows a known column, or else the most columns."""

    def shows(separator: str) -> tuple[bool, int]:
        names = _cells(header, separator)
        return bool({"prompt", "file"} & {name.lower() for name in names}), len(names)

    return max(_SEPARATORS, key=shows)


def _cells(header: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([header], delimiter=separator), [])]
    except csv.Error:
        return []


def _columns(source: str, line: int, names: list[str], labels: Collection[str]) -> list[tuple[str, str]]:
    """For each column what it is (field, file, label, input) and by which name."""
    columns = [_column(place, name, labels) for place, name in enumerate(names, 1)]
    twice = [name for (_, name), count in Counter(columns).items() if count > 1]
    if twice:
        raise BadLinesError(source, [f"line {line}: the column '{twice[0]}' comes twice: rename one"])
    return columns


def _column(place: int, name: str, labels: Collection[str]) -> tuple[str, str]:
    if name in labels or _UNNAMED.fullmatch(name):
        return "label", name
    if not name:
        return "label", f"column {place}"
    if name.lower() in _OWN:
        name = name.lower()
    if name == ROW_ID:
        return "label", name
    if name == "file":
        return "file", name
    return ("field" if name in FIELDS - {"inputs", "labels"} else "input"), name


def _row(source: str, number: int, cells: list[str], columns: list[tuple[str, str]]) -> list[BatchLine]:
    """The row's job; none for an empty row."""
    if len(cells) > len(columns):
        what = "more cells than the header has columns. Put cells with separators into quotes"
        raise BadLinesError(source, [f"line {number}: {what}"])
    given = [(kind, name, cell) for (kind, name), cell in zip(columns, cells, strict=False) if cell]
    fields: dict[str, object] = {name: cell for kind, name, cell in given if kind == "field"}
    for key in ("input", "label"):
        if values := {name: cell for kind, name, cell in given if kind == key}:
            fields[f"{key}s"] = values
    files = tuple(cell for kind, _, cell in given if kind == "file")
    return [BatchLine(number, files, fields)] if given else []
