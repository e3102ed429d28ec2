"""The lines of a batch: which form a source has, and its jobs, each with its number."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection
from pathlib import Path

from spacedock.cli.batching.json_lines import array_lines, json_lines
from spacedock.cli.batching.line import BadLinesError as BadLinesError
from spacedock.cli.batching.line import BatchLine as BatchLine
from spacedock.cli.batching.table import looks_like_table, table_lines
from spacedock.errors import BadRequestError, FileUnreadableError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_lines(source: str, stdin: Callable[[], bytes], labels: Collection[str] = ()) -> list[BatchLine]:
    """Read a batch: `source` is a table (.csv, .tsv), JSON (.jsonl, .json) or text file, a directory, or `-`.

    Standard input and files of other names are read as what they look like. Columns and keys in `labels`
    are kept as labels of their lines. Raises BadLinesError, FileUnreadableError, BadRequestError where there
    is nothing in it.
    """
    if source == "-":
        lines = _parse("standard input", _decoded("standard input", stdin()), "", labels)
    elif Path(source).is_dir():
        lines = _directory(Path(source))
    else:
        lines = _parse(source, _text_of(Path(source)), Path(source).suffix.lower(), labels)
    if not lines:
        raise BadRequestError(f"{source}: there is no prompt in it")
    return lines


def _text_of(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error
    return _decoded(str(path), raw)


def _decoded(source: str, raw: bytes) -> str:
    """The text without a byte order mark, each of its lines ended by a line feed."""
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    if encoding == "utf-8" and raw.count(0) > len(raw) // 4:
        raise BadRequestError(f"{source}: looks like UTF-16 without its mark, or no text. Save it as UTF-8.")
    try:
        return raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        what = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
        raise BadRequestError(
            f"{source}: line {line} is not {what} text (byte {error.start}). Save it as UTF-8, "
            "such as by `iconv -f LATIN1 -t UTF-8`."
        ) from error


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
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return [BatchLine(number, files=(str(file),)) for number, file in enumerate(files, 1)]
