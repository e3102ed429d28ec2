"""Batches as tables: CSV with any usual separator, a job for each row."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from spacedock.batching.sources.line import FIELDS, ROW_ID, BadLine, BatchLine, few, shown
from spacedock.batching.sources.row import RowRules, checked_id
from spacedock.batching.sources.text import BadTextError, TextLines
from spacedock.errors import BadRequestError

_SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t"}
_WORD = re.compile(r"\w[\w .:-]*|")
_UNNAMED = re.compile(r"Unnamed: \d+")
_OWN = ("prompt", "file", ROW_ID, "custom_id")
_EXCEL = re.compile(r'"?sep=([,;|\t])"?')
_EMPTY = frozenset({"", "NaN", "nan", "<NA>"})
"""What a cell without a value is, also as pandas writes it."""
_MOST_HEADER = 10_000
_MOST_COLUMNS = 20
_MAX_ROW = 4 * 2**20


def looks_like_table(first: str) -> bool:
    """Whether the first line is a table's header: it names a prompt or a file beside other columns."""
    header = first[:_MOST_HEADER].strip()
    if header.lower() == "prompt" or _EXCEL.fullmatch(header):
        return True
    names = _cells(header, _separator(header))
    lower = {name.lower() for name in names}
    named = "prompt" in lower or ("file" in lower and not any(" " in name for name in names))
    return len(names) > 1 and named and all(map(_WORD.fullmatch, names))


def separator_of(first: str, given: str | None, *, tabs: bool) -> str:
    """What separates columns: as given, as Excel's `sep=;` says, or as the header looks.

    Raises BadRequestError where what is given cannot.
    """
    if given is not None:
        separator = _NAMES.get(given.lower(), given)
        if len(separator) != 1 or separator in '"\r\n':
            raise BadRequestError(f"--separator {given!r} is not one character, such as ';' or tab")
        return separator
    if excel := _EXCEL.fullmatch(first.strip("\n")):
        return excel[1]
    return "\t" if tabs else _separator(first[:_MOST_HEADER])


def _separator(header: str) -> str:
    """The separator that shows a known column, or else the most columns."""

    def shows(separator: str) -> tuple[bool, int]:
        names = _cells(header, separator)
        return bool({"prompt", "file"} & {name.lower() for name in names}), len(names)

    return max(_SEPARATORS, key=shows)


def _cells(header: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(_reader([header], separator), [])]
    except csv.Error:
        return []


def _reader(lines: Iterable[str], separator: str, *, strict: bool = False) -> Iterator[list[str]]:
    # People write a space behind a comma.
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=strict)


class _Column(NamedTuple):
    """A column: what its header says, its name in the request, and what it is there."""

    header: str
    name: str
    kind: str


class _RowText:
    """The lines that the reader of rows takes, and those of the row that it is at."""

    def __init__(self, lines: TextLines) -> None:
        self._lines = lines
        self._taken: list[str] = []
        self._size = 0

    def begin(self) -> int:
        """Begin a row; returns the number of its first line."""
        self._taken, self._size = [], 0
        return self._lines.next_number

    @property
    def text(self) -> str:
        """The row as it stands there."""
        return "".join(self._taken)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._size += len(line)
        if self._size > _MAX_ROW:
            raise BadTextError(self.text, f"over {_MAX_ROW // 2**20} MB, or a quote in it never closes")
        self._taken.append(line)
        return line


def table_lines(lines: TextLines, separator: str, rules: RowRules) -> Iterator[BatchLine | BadLine]:
    """Read each row: its columns are a request's fields, files, labels, or else inputs by their names.

    Labels are the id, columns without a name, and those that options name; an empty cell is left out. Raises
    BadRequestError where the header is wrong, or options do not fit it.
    """
    csv.field_size_limit(_MAX_ROW)
    rows = _RowText(lines)
    reader = _reader(rows, separator, strict=True)
    if _EXCEL.fullmatch(lines.first.strip("\n")):
        next(lines)
    begun = rows.begin()
    try:
        columns = _columns([name.strip() for name in next(reader, [])], rules)
    except (csv.Error, ValueError) as error:
        raise BadRequestError(f"{lines.name}, line {begun}: {_problem(error)}") from error
    while True:
        begun = rows.begin()
        try:
            if line := _row(begun, next(reader), columns, rules):
                yield line
        except StopIteration:
            return
        except (csv.Error, BadTextError) as error:
            yield BadLine(begun, rows.text, _problem(error, lines.number - begun))
            if lines.number > begun:
                return
        except ValueError as error:
            yield BadLine(begun, rows.text, str(error))


def _problem(error: Exception, further: int = 0) -> str:
    if isinstance(error, csv.Error):
        if "unexpected end" in str(error):
            return "a quote opens in this row and never closes. Inside of a cell, double it"
        at = f", {further} lines further on" if further > 1 else ", in the next line" if further else ""
        behind = "; what follows was not read" if further else ""
        what = "text follows a closing quote" if "expected after" in str(error) else str(error)
        return f"{what}{at}. Double the quotes inside of a cell{behind}"
    return f"{error}{'. What follows it was not read' if further else ''}"


def _columns(names: list[str], rules: RowRules) -> list[_Column]:
    """What each column is. Raises ValueError where options name one that is not there."""
    names = [name.lower() if name.lower() in _OWN else name for name in names]
    for name in rules.named:
        if name not in names:
            raise ValueError(f"there is no column '{name}'. There are: {few(names, _MOST_COLUMNS)}")
    if rules.template is not None:
        rules.template.check(names)
    rules.note(names)
    row_id = rules.id_key(names)
    columns = [_column(place, name, row_id, rules) for place, name in enumerate(names, 1)]
    twice = [name for (name, _), count in Counter(column[1:] for column in columns).items() if count > 1]
    if twice:
        raise ValueError(f"the column '{shown(twice[0])}' comes twice: rename one")
    return columns


def _column(place: int, name: str, row_id: str | None, rules: RowRules) -> _Column:
    if name == row_id:
        return _Column(name, ROW_ID, "label")
    if name in rules.options.labels or _UNNAMED.fullmatch(name):
        return _Column(name, name, "label")
    if not name:
        return _Column(name, f"column {place}", "label")
    if name == "file" or name in rules.options.file_columns:
        return _Column(name, name, "file")
    if rules.is_used_up(name):
        return _Column(name, name, "template")
    return _Column(name, name, "field" if name in FIELDS - {"inputs", "labels"} else "input")


def _row(number: int, cells: list[str], columns: list[_Column], rules: RowRules) -> BatchLine | None:
    """The row's job; none for an empty row. Raises ValueError."""
    if len(cells) > len(columns):
        raise ValueError("more cells than the header has columns. Put cells with separators into quotes")
    values = ["" if cell in _EMPTY else cell for cell in cells] + [""] * (len(columns) - len(cells))
    given: dict[str, dict[str, str]] = {"field": {}, "input": {}, "label": {}, "file": {}, "template": {}}
    for column, value in zip(columns, values, strict=True):
        if value:
            given[column.kind][column.name] = value
    if not any(values):
        return None
    fields: dict[str, object] = {**given["field"]}
    fields |= {f"{kind}s": given[kind] for kind in ("input", "label") if given[kind]}
    prompt = rules.prompt({column.header: value for column, value in zip(columns, values, strict=True)})
    if prompt is not None:
        fields["prompt"] = prompt
    files = tuple(rules.file(path.strip()) for path in given["file"].values())
    guessed = rules.options.id_column is None and not any(column.header == "custom_id" for column in columns)
    return BatchLine(number, files, fields, checked_id(given["label"]), guessed_id=guessed)
