"""The lines of a batch: its bytes as text, which form they have, and its jobs, each with its number."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Collection
from pathlib import Path

from spacedock.batching.sources.json_lines import array_lines, json_lines
from spacedock.batching.sources.line import BadLinesError as BadLinesError
from spacedock.batching.sources.line import BatchLine as BatchLine
from spacedock.batching.sources.table import looks_like_table, table_lines
from spacedock.errors import BadRequestError, FileUnreadableError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEND = "to send files, give their directory, or use `spacedock run --file`"
_FORMATS = (
    (rb"\x1f\x8b", "is compressed by gzip", "unpack it: `gzip -d`"),
    (rb"BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd", "is compressed", "unpack it"),
    (rb"PK\x03\x04", "is an Excel workbook or a zip file", "save its sheet as CSV, or unpack it"),
    (rb"\xd0\xcf\x11\xe0", "is a file of an office program", "save its table as CSV"),
    (rb"PAR1|Obj\x01|SQLite format 3", "is a database's file", "write it as CSV or JSON Lines"),
    (rb"%PDF-|\x89PNG|\xff\xd8\xff|GIF8|RIFF|ID3|OggS|fLaC|\0\0..ftyp", "is a picture or the like", _SEND),
)
"""How files begin that people hand over by mistake, what they are, and what to do."""


def decoded(source: str, raw: bytes) -> str:
    """The text without a byte order mark, each of its lines ended by a line feed.

    Raises BadRequestError where the bytes are no text, or none in UTF-8.
    """
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    if encoding == "utf-8" and raw.count(0) > len(raw) // 4:
        raise BadRequestError(f"{source} {_kind(raw) or _about_nulls(raw)}")
    try:
        return raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise BadRequestError(f"{source} {_kind(raw) or _about(raw, error)}") from error


def _kind(raw: bytes) -> str | None:
    for beginning, what, remedy in _FORMATS:
        if re.match(beginning, raw, re.DOTALL):
            return f"{what}, no list of prompts: {remedy}"
    return None


def _about_nulls(raw: bytes) -> str:
    odd = raw[1::2].count(0)
    even = raw.count(0) - odd
    # Latin letters have one byte that is not NUL, in two or in four.
    width = 32 if min(odd, even) > len(raw) // 8 else 16
    if max(odd, even) > len(raw) // 3:
        what = f"looks like UTF-{width} without its byte order mark"
        return _not_text(what, f"UTF-{width}{'LE' if raw[0] else 'BE'}")
    return f"is no text (NUL at byte {raw.index(0)}). Give prompts as text in UTF-8; {_SEND}"


def _about(raw: bytes, error: UnicodeDecodeError) -> str:
    if not error.encoding.startswith("utf-8"):
        return f"is not whole {error.encoding.upper()} text (byte {error.start}). Save it as UTF-8"
    line = raw[: error.start].count(b"\n") + 1
    where = f"is not UTF-8 text in line {line} (byte {error.start} of the file is {raw[error.start]:02X})"
    # Between 80 and 9F only Windows has letters.
    return _not_text(where, "WINDOWS-1252" if re.search(rb"[\x80-\x9f]", raw) else "LATIN1")


def _not_text(what: str, encoding: str) -> str:
    return f"{what}. Save it as UTF-8, such as by `iconv -f {encoding} -t UTF-8`"


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
