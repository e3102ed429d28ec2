"""Batches as tables: CSV with any usual separator, a job for each row."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Protocol

from spacedock.cli.batching.line import FIELDS, ROW_ID, BadLinesError, BatchLine
from spacedock.wire import MAX_REQUEST_BYTES


class _Reader(Protocol):
    """What `csv.reader` makes, whose type has no name to annotate with."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


_SEPARATORS = (",", ";", "\t", "|")
_WORD = re.compile(r"\w[\w .:-]*|")
_UNNAMED = re.compile(r"Unnamed: \d+")
_OWN = ("prompt", "file", ROW_ID)
_MOST_HEADER = 10_000


def looks_like_table(text: str) -> bool:
    """Whether the first line is a table's header: it names a prompt or a file beside other columns."""
    header = text.partition("\n")[0][:_MOST_HEADER]
    if header.strip() == "prompt":
        return True
    names = _cells(header, _separator(header))
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
    separator = "\t" if tabs else _separator(text.partition("\n")[0][:_MOST_HEADER])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        columns = _columns(source, names, labels)
        return list(_rows(source, reader, columns))
    except csv.Error as error:
        raise BadLinesError(source, [f"line {reader.line_num}: {error}"]) from error


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


def _columns(source: str, names: list[str], labels: Collection[str]) -> list[tuple[str, str]]:
    """For each column what it is (field, file, label, input) and by which name."""
    columns = [_column(place, name, names, labels) for place, name in enumerate(names, 1)]
    twice = [name for (_, name), count in Counter(columns).items() if count > 1]
    if twice:
        raise BadLinesError(source, [f"line 1: the column '{twice[0]}' comes twice"])
    return columns


def _column(place: int, name: str, names: list[str], labels: Collection[str]) -> tuple[str, str]:
    if name in labels or _UNNAMED.fullmatch(name):
        return "label", name
    if not name:
        return "label", f"column {place}"
    if name.lower() in _OWN and name.lower() not in names:
        name = name.lower()
    if name == ROW_ID:
        return "label", name
    if name == "file":
        return "file", name
    return ("field" if name in FIELDS - {"inputs", "labels"} else "input"), name


def _rows(source: str, reader: _Reader, columns: list[tuple[str, str]]) -> Iterator[BatchLine]:
    for cells in reader:
        number = reader.line_num
        if len(cells) > len(columns):
            what = "more cells than the header has columns. Put cells with separators into quotes"
            raise BadLinesError(source, [f"line {number}: {what}"])
        given = [(kind, name, cell) for (kind, name), cell in zip(columns, cells, strict=False) if cell]
        fields: dict[str, object] = {name: cell for kind, name, cell in given if kind == "field"}
        for key in ("input", "label"):
            if values := {name: cell for kind, name, cell in given if kind == key}:
                fields[f"{key}s"] = values
        if cells:
            yield BatchLine(number, tuple(cell for kind, _, cell in given if kind == "file"), fields)
