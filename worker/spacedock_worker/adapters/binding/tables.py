"""Tables as Gradio's Dataframe takes them, from rows, records, columns or CSV (pure)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from spacedock_worker.adapters.faults import CannotFillError

MAX_TABLE = 8 * 2**20
"""Bytes of a table that is read: that takes about 200 ms, so `weighed` reads large ones in a thread."""

# A cell may be as long as a table; Python's own limit is 128 KiB.
csv.field_size_limit(max(MAX_TABLE, csv.field_size_limit()))


def table_of(given: Any, default: Any = None) -> dict[str, Any]:
    """`given` as {"headers", "data"}; `default` is the page's own table, whose headers serve where they fit.

    Raises CannotFillError where it is no table.
    """
    if isinstance(given, bytes):
        given = _decoded(given)
    if isinstance(given, str):
        return _of_text(given, default)
    match given:
        case {"headers": list(), "data": list()}:
            return dict(given)
        case dict():
            listed = given and all(isinstance(values, list) for values in given.values())
            return _of_columns(given) if listed else _of_records([given])
        case [dict(), *_] if all(isinstance(row, dict) for row in given):
            return _of_records(given)
        case list():
            return _of_rows([row if isinstance(row, list) else [row] for row in given], default)
    return _of_rows([[given]], default)


def _decoded(data: bytes) -> str:
    if len(data) > MAX_TABLE:
        raise CannotFillError(f"the table has over {MAX_TABLE // 2**20} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _of_text(text: str, default: Any) -> dict[str, Any]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return table_of(json.loads(text), default)
        except (ValueError, RecursionError):
            pass
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=_delimiter(text)) if row]
    except csv.Error as error:
        raise CannotFillError(f"the table is no CSV: {error}") from None
    if not rows:
        raise CannotFillError("the table is empty")
    named = len(rows) > 1 and not any(map(_is_number, rows[0]))
    table = _of_rows(rows[1:] if named else rows, default)
    return {**table, "headers": _widened(rows[0], len(table["headers"])) if named else table["headers"]} | {
        "data": _typed(table["data"])
    }


def _delimiter(text: str) -> str:
    first = text.lstrip("\n\r").split("\n", 1)[0]
    return max(",\t;", key=first.count)


def _of_columns(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    longest = max(map(len, columns.values()))
    padded = [_widened(values, longest) for values in columns.values()]
    return {"headers": list(map(str, columns)), "data": [list(row) for row in zip(*padded, strict=True)]}


def _of_records(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    headers = list(dict.fromkeys(name for record in records for name in record))
    return {"headers": headers, "data": [[record.get(name) for name in headers] for record in records]}


def _of_rows(rows: Sequence[Sequence[Any]], default: Any) -> dict[str, Any]:
    width = max(map(len, rows), default=0)
    known = default.get("headers") if isinstance(default, dict) else None
    fits = isinstance(known, list) and len(known) == width
    headers = known if fits else [str(number + 1) for number in range(width)]
    return {"headers": headers, "data": [_widened(row, width) for row in rows]}


def _widened(row: Sequence[Any], width: int) -> list[Any]:
    return [*row, *[None] * (width - len(row))]


def _typed(rows: list[list[Any]]) -> list[list[Any]]:
    """Columns whose every cell is a number, as numbers; an empty cell becomes None."""
    columns = [
        [_number(cell) for cell in column] if all(_is_number(c) or not c for c in column) else list(column)
        for column in zip(*rows, strict=True)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return "_" not in cell


def _number(cell: Any) -> int | float | None:
    if not cell:
        return None
    try:
        return int(cell)
    except ValueError:
        return float(cell)
