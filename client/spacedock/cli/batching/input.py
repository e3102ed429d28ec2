"""The lines of a batch: which form a source has, and its jobs, each with its number."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from spacedock.cli.batching.decoding import decoded
from spacedock.cli.batching.json_lines import array_lines, json_lines
from spacedock.cli.batching.line import BadLinesError as BadLinesError
from spacedock.cli.batching.line import BatchLine as BatchLine
from spacedock.cli.batching.table import looks_like_table, table_lines
from spacedock.errors import BadRequestError, FileUnreadableError


def read_lines(source: str, stdin: Callable[[], bytes], labels: Collection[str] = ()) -> list[BatchLine]:
    """Read a batch: `source` is a table (.csv, .tsv), JSON (.jsonl, .json) or text file, a directory, or `-`.

    Standard input and files of other names are read as what they look like. Columns and keys in `labels`
    are kept as labels of their lines. Raises BadLinesError, FileUnreadableError, BadRequestError where there
    is nothing in it.
    """
    if source == "-":
        name, suffix, text = "standard input", "", decoded("standard input", stdin())
    elif Path(source).is_dir():
        return _directory(Path(source))
    else:
        name, suffix, text = source, Path(source).suffix.lower(), _text_of(Path(source))
    if not text.strip():
        raise BadRequestError(f"{name} is empty: give a prompt on each line")
    lines = _parse(name, text, suffix, labels)
    if not lines:
        raise BadRequestError(f"{name}: there is no prompt in it, only {_what_else(text)}")
    return lines


def _text_of(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error
    return decoded(str(path), raw)


def _what_else(text: str) -> str:
    return "an empty array" if text.lstrip().startswith("[") else "a header"


def _parse(source: str, text: str, suffix: str, labels: Collection[str]) -> list[BatchLine]:
    as_json = suffix in {".jsonl", ".ndjson", ".json"}
    if suffix in {".csv", ".tsv"} or (not as_json and suffix != ".txt" and looks_like_table(text)):
        return table_lines(source, text, labels, tabs=suffix == ".tsv")
    if as_json or (not suffix and text.lstrip()[:1] in {"{", '"', "["}):
        array = array_lines(source, text, labels, whole=suffix == ".json")
        return json_lines(source, text, labels) if array is None else array
    return [
        BatchLine(number, fields={"prompt": line.strip()})
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]


def _directory(path: Path) -> list[BatchLine]:
    try:
        there = sorted(path.iterdir())
        files = [file for file in there if not (file.name.startswith(".") or file.is_dir())]
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error
    if not files:
        others = " (hidden files, and those in directories below it, are left out)" if there else ""
        raise BadRequestError(f"{path}: there is no file in it{others}")
    return [BatchLine(number, files=(str(file),)) for number, file in enumerate(files, 1)]
