"""Batches in JSON: an object or a string for each line, or an array of them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from math import isinf
from typing import Any

from spacedock.batching.sources.line import FIELDS, ROW_ID, BadLinesError, BatchLine

_HINTS = (
    (r"\s*", r"#|//|/\*|--", "JSON has no comments: take it out"),
    (r".*", r",\s*[\]}]", "take the last comma out"),
    (r".*,\s*", r"[\]}]", "take the last comma out"),
    (r"[^\n]*[\]}\"]\s*", r",", "lines of JSON have no comma between them: take it out"),
    (r".*", r"'", 'names and texts stand in "double quotes"'),
    (r".*", r"(True|False|None|undefined)\b", "write true, false or null"),
    (r"\s*", r"\w", 'write {"prompt": "…"}, or name the file .txt where each line is a prompt'),
)
"""What stands before and behind the place of an error, and what to do about it."""
_NEAR = 200


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
    except ValueError as error:
        if not text.lstrip().startswith(("[\n", "[ ", "[{", '["')):
            return None
        at = f"line {cause.lineno}: " if isinstance(cause := error.__cause__, json.JSONDecodeError) else ""
        raise BadLinesError(source, [f"{at}{error}"]) from error
    items = value if isinstance(value, list) else [value]
    return _lines(source, ((f"item {n}", n, item) for n, item in enumerate(items, 1)), labels)


def _lines(source: str, items: Iterable[tuple[str, int, Any]], labels: Collection[str]) -> list[BatchLine]:
    problems: list[str] = []
    lines: list[BatchLine] = []
    for place, number, item in items:
        try:
            row = _loads(item) if place.startswith("line") else item
            lines.append(_line(number, row, labels))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise BadLinesError(source, problems)
    return lines


def _loads(text: str) -> Any:
    """What the JSON says, without what other readers of JSON refuse. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_constant, parse_float=_float, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}{_hint(error)}") from error
    except RecursionError as error:
        raise ValueError("lists and objects are nested too deep") from error


def _hint(error: json.JSONDecodeError) -> str:
    before, behind = error.doc[max(0, error.pos - _NEAR) : error.pos], error.doc[error.pos :][:_NEAR]
    for ends, begins, hint in _HINTS:
        if re.fullmatch(ends, before, re.DOTALL) and re.match(rf"\s*({begins})", behind):
            return f" ({hint})"
    return ""


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
    if isinstance(given := row.get("labels"), dict):
        row["labels"] = {key: str(value) if _is_plain(value) else value for key, value in given.items()}
    if unknown := row.keys() - FIELDS:
        raise ValueError(_unknown(row, unknown))
    for key, kind, what in (("space", str, "a string"), ("inputs", dict, "an object of inputs by name")):
        if not isinstance(row.get(key, kind()), kind):
            raise ValueError(f"'{key}' is not {what}")
    return BatchLine(number, files, row)


def _unknown(row: dict[str, Any], unknown: Collection[str]) -> str:
    """What to do about keys that are none of a line's."""
    body = row.get("body", row)
    if isinstance(body, dict) and "messages" in body:
        what = (
            "a chat request of OpenAI's API, which is not read. Give the text of its last message as 'prompt'"
        )
        return f"{what}{', and its custom_id as id' if 'custom_id' in row else ''}"
    if ROW_ID in unknown:
        return "'id' is not a text or a number"
    name = min(unknown)
    if meant := get_close_matches(name, FIELDS, 1):
        return f"unknown key '{name}': did you mean '{meant[0]}'?"
    if len(row) == 1 and isinstance(row[name], list):
        return f"the lines are under '{name}': give their array alone"
    if "prompt" not in row and isinstance(row[name], str) and len(unknown) == 1:
        return f"unknown key '{name}': the prompt's key is 'prompt', and inputs of the Space go into 'inputs'"
    known = ", ".join(sorted(FIELDS | {"file", "files", ROW_ID}))
    return (
        f"unknown key '{name}'. Known: {known}. Inputs of the Space go into 'inputs'; "
        f"what only describes the line is kept with --label {name}"
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _files(many: Any, one: Any) -> tuple[str, ...]:
    listed = [*(many if isinstance(many, list) else [many]), one]
    files = [item for item in listed if item is not None]
    if not all(isinstance(item, str) for item in files):
        raise ValueError("'files' is not a list of paths")
    return tuple(files)
