"""Batches in JSON: an object or a string for each line, or an array of them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from spacedock.batching.sources.line import FIELDS, ROW_ID, BadLine, BadLinesError, BatchLine, shown
from spacedock.batching.sources.row import FILES, RowRules, checked_id
from spacedock.batching.sources.strict_json import strictly_decoded
from spacedock.batching.sources.text import TextLines, each_line
from spacedock.errors import BadRequestError
from spacedock.openai.translation import is_request_line, parse_line

_HINTS = (
    (r"\s*", r"#|//|/\*|--", "JSON has no comments: take it out"),
    (r".*", r",\s*[\]}]", "take the last comma out"),
    (r".*,\s*", r"[\]}]", "take the last comma out"),
    (r"[^\n]*[\]}\"]\s*", r",", "lines of JSON have no comma between them: take it out"),
    (r".*", r"'", 'names and texts stand in "double quotes"'),
    (r".*", r"(True|False|None|undefined)\b", "write true, false or null"),
    (r"\s*\{\s*", r"$", "an object stands on one line: `jq -c .` writes it so"),
    (r"\s*", r"\w", 'write {"prompt": "…"}, or name the file .txt where each line is a prompt'),
)
"""What stands before and behind the place of an error, and what to do about it."""
_NEAR = 200


def json_lines(lines: TextLines, rules: RowRules) -> Iterator[BatchLine | BadLine]:
    """Read an object or a string from each line that is not blank."""
    return each_line(lines, lambda number, text: line_of(number, _loads(text), rules))


def whole_json(lines: TextLines, rules: RowRules) -> Iterator[BatchLine | BadLine]:
    """Read a JSON array, numbered by its items, or a single object over many lines. Raises BadLinesError."""
    number = lines.next_number
    try:
        value = _loads(lines.all())
    except ValueError as error:
        cause = error.__cause__
        at = cause.lineno + number - 1 if isinstance(cause, json.JSONDecodeError) else lines.number
        raise BadLinesError(lines.name, [f"line {at}: {error}"]) from error
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        try:
            yield line_of(number, item, rules)
        except ValueError as error:
            yield BadLine(number, json.dumps(item), str(error))


def _loads(text: str) -> Any:
    """What the JSON says, without what other readers of JSON refuse. Raises ValueError."""
    try:
        return strictly_decoded(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}{_hint(error)}") from error


def _hint(error: json.JSONDecodeError) -> str:
    before, behind = error.doc[max(0, error.pos - _NEAR) : error.pos], error.doc[error.pos :][:_NEAR]
    for ends, begins, hint in _HINTS:
        if re.fullmatch(ends, before, re.DOTALL) and re.match(rf"\s*({begins})", behind):
            return f" ({hint})"
    return ""


def line_of(number: int, row: Any, rules: RowRules) -> BatchLine:
    """The line of a JSON value. Raises ValueError if the value is not a line."""
    if isinstance(row, str):
        row = {"prompt": row}
    if not isinstance(row, dict):
        raise ValueError('not a prompt: give {"prompt": "…"} or a JSON string')
    rules.note(row)
    if is_request_line(row):
        return _request_line(number, row, rules)
    prompt = rules.prompt(row)
    row = {key: value for key, value in row.items() if value is not None and not rules.is_used_up(key)}
    if prompt is not None:
        row["prompt"] = prompt
    files = [rules.file(path) for key in (*FILES, *rules.options.file_columns) for path in _paths(row, key)]
    labels = _labels(row, rules)
    if unknown := row.keys() - FIELDS:
        raise ValueError(_unknown(row, unknown))
    for key, kind, what in (("space", str, "a string"), ("inputs", dict, "an object of inputs by name")):
        if not isinstance(row.get(key, kind()), kind):
            raise ValueError(f"'{key}' is not {what}")
    return BatchLine(number, tuple(files), row, checked_id(labels))


def _request_line(number: int, row: dict[str, Any], rules: RowRules) -> BatchLine:
    if rules.template is not None:
        raise ValueError("a request of another API has its prompt: leave --template out")
    try:
        asked = parse_line(row, rules.models, rules.base if rules.local else None)
    except BadRequestError as error:
        raise ValueError(str(error)) from error
    if not asked.known:
        rules.note_model(asked.model)
    files = tuple(rules.file(path) for path in asked.paths)
    labels = asked.fields.get("labels", {}) | {ROW_ID: asked.id}
    return BatchLine(number, files, {**asked.fields, "labels": labels}, checked_id(labels), asked)


def _labels(row: dict[str, Any], rules: RowRules) -> dict[str, str]:
    """Move what is kept as a label to the row's labels: its id, and what options name."""
    key = rules.id_key(row)
    if key is not None and not _is_plain(row.get(key, "")):
        raise ValueError(f"'{key}' is not a text or a number, as an id is")
    names = {name: name for name in rules.options.labels} | ({key: ROW_ID} if key else {})
    own = {label: str(row.pop(name)) for name, label in names.items() if _is_plain(row.get(name))}
    given = row.get("labels", {})
    if not isinstance(given, dict):
        return {}
    labels = own | {name: str(value) if _is_plain(value) else value for name, value in given.items()}
    if labels:
        row["labels"] = labels
    return labels


def _unknown(row: dict[str, Any], unknown: Collection[str]) -> str:
    """What to do about keys that are none of a line's."""
    body = row.get("body", row)
    if isinstance(body, dict) and "messages" in body:
        whole = '{"custom_id": "…", "method": "POST", "url": "/v1/chat/completions", "body": {…}}'
        return f"a chat of OpenAI's API without the rest of its line: write {whole}, or give a 'prompt'"
    name = min(unknown)
    named = shown(name)
    if meant := get_close_matches(name, FIELDS, 1):
        return f"unknown key '{named}': did you mean '{meant[0]}'?"
    if len(row) == 1 and isinstance(row[name], list):
        return f"the lines are under '{named}': give their array alone"
    if "prompt" not in row and isinstance(row[name], str) and len(unknown) == 1:
        return (
            f"unknown key '{named}': the prompt's key is 'prompt', and inputs of the Space go into 'inputs'"
        )
    known = ", ".join(sorted({*FIELDS, *FILES, ROW_ID}))
    return (
        f"unknown key '{named}'. Known: {known}. Inputs of the Space go into 'inputs'; "
        f"what only describes the line is kept with --label {named}"
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _paths(row: dict[str, Any], key: str) -> list[str]:
    given = row.pop(key, None) or []
    paths = given if isinstance(given, list) else [given]
    if not all(isinstance(path, str) for path in paths):
        raise ValueError(f"'{key}' is not a path or a list of paths")
    return [path for path in paths if path]
