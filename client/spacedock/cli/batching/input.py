"""The lines of a batch: reading prompts from JSONL, CSV, text or a directory, each with its number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacedock.errors import BadRequestError, FileUnreadableError
from spacedock.request import JobRequest

_FIELDS = frozenset(JobRequest.model_fields) - {"files", "repository", "idempotency_key", "batch"}
_MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One job of a batch: its number (from 1, as an editor counts), file paths, and the request's fields."""

    number: int
    files: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


class BadLinesError(BadRequestError):
    """Lines of a batch cannot be read; nothing of it was submitted."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source, self.problems = source, problems
        shown = problems[:_MAX_SHOWN]
        if len(problems) > _MAX_SHOWN:
            shown.append(f"and {len(problems) - _MAX_SHOWN} more")
        super().__init__(f"{source}: nothing was submitted. Mend these lines:\n  " + "\n  ".join(shown))


def read_lines(source: str, stdin: Callable[[], bytes]) -> list[BatchLine]:
    """Read a batch: `source` is a .jsonl, .csv or .txt file, a directory, or `-` for standard input.

    Raises BadLinesError, FileUnreadableError, BadRequestError where there is nothing in it.
    """
    if source == "-":
        lines = _parse("standard input", _decoded("standard input", stdin()))
    elif Path(source).is_dir():
        lines = _directory(Path(source))
    else:
        lines = _parse(source, _text_of(Path(source)), Path(source).suffix.lower())
    if not lines:
        raise BadRequestError(f"{source}: there is no prompt in it")
    return lines


def _text_of(path: Path) -> str:
    try:
        return _decoded(str(path), path.read_bytes())
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error


def _decoded(source: str, raw: bytes) -> str:
    """The text without a byte order mark, each of its lines ended by a line feed."""
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise FileUnreadableError(source, f"is not UTF-8 text (byte {error.start})") from error


def _parse(source: str, text: str, suffix: str = "") -> list[BatchLine]:
    if suffix == ".csv":
        return list(_csv(source, text))
    if suffix in {".jsonl", ".ndjson", ".json"} or (not suffix and text.lstrip()[:1] in {"{", '"'}):
        return list(_jsonl(source, text))
    return [
        BatchLine(number, fields={"prompt": line.strip()})
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]


def _directory(path: Path) -> list[BatchLine]:
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return [BatchLine(number, files=(str(file),)) for number, file in enumerate(files, 1)]


def _jsonl(source: str, text: str) -> Iterator[BatchLine]:
    problems: list[str] = []
    lines: list[BatchLine] = []
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            lines.append(_json_line(number, raw))
        except (ValueError, RecursionError) as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise BadLinesError(source, problems)
    yield from lines


def _json_line(number: int, raw: str) -> BatchLine:
    try:
        row = json.loads(raw)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if isinstance(row, str):
        return BatchLine(number, fields={"prompt": row})
    if not isinstance(row, dict):
        raise ValueError('not a prompt: give {"prompt": "…"} or a JSON string')
    row = {key: value for key, value in row.items() if value is not None}
    files = _files(row.pop("files", None), row.pop("file", None))
    unknown = row.keys() - _FIELDS
    if unknown:
        raise ValueError(
            f"unknown key '{min(unknown)}'. Known: {', '.join(sorted(_FIELDS | {'file', 'files'}))}"
        )
    for key, kind, what in (("space", str, "a string"), ("inputs", dict, "an object of inputs by name")):
        if not isinstance(row.get(key, kind()), kind):
            raise ValueError(f"'{key}' is not {what}")
    return BatchLine(number, files, row)


def _files(many: Any, one: Any) -> tuple[str, ...]:
    listed = [*(many if isinstance(many, list) else [many]), one]
    files = [item for item in listed if item is not None]
    if not all(isinstance(item, str) for item in files):
        raise ValueError("'files' is not a list of paths")
    return tuple(files)


def _csv(source: str, text: str) -> Iterator[BatchLine]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if not {"prompt", "file"} & set(reader.fieldnames or ()):
            raise BadLinesError(source, ["line 1: the header names neither a 'prompt' nor a 'file' column"])
        for row in reader:
            yield _csv_line(source, reader.line_num, row)
    except csv.Error as error:
        raise BadLinesError(source, [f"line {reader.reader.line_num}: {error}"]) from error


def _csv_line(source: str, number: int, row: dict[str | Any, str | Any]) -> BatchLine:
    """Columns are a request's fields, `file`, or else inputs by name; an empty cell is none."""
    if None in row:
        raise BadLinesError(source, [f"line {number}: more cells than the header has columns"])
    cells = {name: value for name, value in row.items() if value}
    file = cells.pop("file", None)
    fields: dict[str, Any] = {
        name: cells.pop(name) for name in list(cells) if name in _FIELDS - {"inputs", "labels"}
    }
    return BatchLine(number, (file,) if file else (), {**fields, "inputs": cells} if cells else fields)
