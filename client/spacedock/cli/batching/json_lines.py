"""Batches in JSON: an object or a string for each line, or an array of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from math import isinf
from typing import Any

from spacedock.cli.batching.line import FIELDS, ROW_ID, BadLinesError, BatchLine


def json_lines(source: str, text: str, labels: Collection[str]) -> list[BatchLine]:
    """Read an object or a string from each line. Raises BadLinesError with all that is wrong."""
    numbered = ((number, raw) for number, raw in enumerate(text.split("\n"), 1) if raw.strip())
    return _lines(source, ((f"line {n}", n, raw) for n, raw in numbered), labels)


def array_lines(
    source: str, text: str, labels: Collection[str], *, whole: bool = False
) -> list[BatchLine] | None:
    """Read a JSON array, numbered by its items; None if the text is no array, but may have JSON lines.

    With `whole` a single object over many lines will do, too. Raises BadLinesError.
    """
    if not whole and not text.lstrip().startswith("["):
        return None
    try:
        value = _loads(text)
    except (ValueError, RecursionError) as error:
        if not text.lstrip().startswith(("[\n", "[ ", "[{", '["')):
            return None
        raise BadLinesError(source, [str(error)]) from error
    items = value if isinstance(value, list) else [value]
    return _lines(source, ((f"item {n}", n, item) for n, item in enumerate(items, 1)), labels)


def _lines(source: str, items: Iterable[tuple[str, int, Any]], labels: Collection[str]) -> list[BatchLine]:
    problems: list[str] = []
    lines: list[BatchLine] = []
    for place, number, item in items:
        try:
            row = _loads(item) if place.startswith("line") else item
            lines.append(_line(number, row, labels))
        except (ValueError, RecursionError) as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise BadLinesError(source, problems)
    return lines


def _loads(text: str) -> Any:
    """What the JSON says, without what other readers of JSON refuse. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_constant, parse_float=_float, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error


def _constant(word: str) -> Any:
    raise ValueError(f"not JSON: {word} is no number. Write null, or leave it out")


def _float(text: str) -> float:
    if isinf(number := float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice}' comes twice")
    return row


def _line(number: int, row: Any, labels: Collection[str]) -> BatchLine:
    if isinstance(row, str):
        return BatchLine(number, fields={"prompt": row})
    if not isinstance(row, dict):
        raise ValueError('not a prompt: give {"prompt": "…"} or a JSON string')
    row = {key: value for key, value in row.items() if value is not None}
    files = _files(row.pop("files", None), row.pop("file", None))
    if own := {key: str(row.pop(key)) for key in (*labels, ROW_ID) if key in row and _is_plain(row[key])}:
        given = row.get("labels", {})
        row["labels"] = own | given if isinstance(given, dict) else given
    unknown = row.keys() - FIELDS
    if unknown:
        known = ", ".join(sorted(FIELDS | {"file", "files", ROW_ID}))
        raise ValueError(
            f"unknown key '{min(unknown)}'. Known: {known}. Inputs of the Space go into 'inputs'; "
            f"what only describes the line is kept with --label {min(unknown)}"
        )
    for key, kind, what in (("space", str, "a string"), ("inputs", dict, "an object of inputs by name")):
        if not isinstance(row.get(key, kind()), kind):
            raise ValueError(f"'{key}' is not {what}")
    return BatchLine(number, files, row)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _files(many: Any, one: Any) -> tuple[str, ...]:
    listed = [*(many if isinstance(many, list) else [many]), one]
    files = [item for item in listed if item is not None]
    if not all(isinstance(item, str) for item in files):
        raise ValueError("'files' is not a list of paths")
    return tuple(files)
