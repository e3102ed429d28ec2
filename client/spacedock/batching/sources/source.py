"""The source of a batch: which form a file, a directory or a pipe has, and its lines one after another."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from spacedock.batching.sources.directory import directory_lines
from spacedock.batching.sources.json_lines import json_lines, whole_json
from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.batching.sources.row import PromptTemplate, RowRules, SourceOptions
from spacedock.batching.sources.table import looks_like_table, separator_of, table_lines
from spacedock.batching.sources.text import TextLines, each_line, open_text
from spacedock.errors import BadRequestError, FileUnreadableError
from spacedock.openai.model_names import ModelNames
from spacedock.openai.translation import is_request_line

_STDIN = "standard input"
_APIS = ("OpenAI's batch format", "Anthropic's batch format")
_TEXT, _JSON_LINES, _TABLE = "text, a prompt a line", "JSON Lines", "table separated by"
_USUAL = {".txt": _TEXT, ".json": "JSON array", ".csv": f"{_TABLE} commas", ".tsv": f"{_TABLE} tabs"}
_USUAL |= dict.fromkeys((".jsonl", ".ndjson"), _JSON_LINES)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True)
class Source:
    """What a batch is read from: its name, its form in words, and whether it can be read twice.

    `unit` is what the numbers of its lines count: lines, items of an array or files. With `asks_models` its
    lines are requests of OpenAI's or Anthropic's API: `with_models` says which models these may name.
    """

    name: str
    form: str
    rereadable: bool
    unit: str
    rules: RowRules
    read: Callable[[RowRules], Iterator[BatchLine | BadLine]]
    asks_models: bool = False

    def lines(self) -> Iterator[BatchLine | BadLine]:
        """Read the lines, one at a time; a source that is not rereadable has them once.

        Raises BadRequestError if it has no lines, FileUnreadableError where the source breaks off.
        """
        line = None
        for line in self.read(self.rules):
            yield line
        if line is None:
            what_else = "an empty array" if self.unit == "item" else "a header"
            raise BadRequestError(f"{self.name}: there is no prompt in it, only {what_else}")
        if missing := {*self.rules.named} - self.rules.seen:
            raise BadRequestError(f"{self.name}: no line has '{min(missing)}', which an option names")

    def with_models(self, models: ModelNames, *, local: bool = True) -> Source:
        """The same source, whose requests may ask for these models; without `local` they name no files."""
        return replace(self, rules=replace(self.rules, models=models, local=local))

    @property
    def is_as_named(self) -> bool:
        """Whether the form is what the name says, so that it need not be told."""
        usual = "directory" if self.unit == "file" else _USUAL.get(Path(self.name).suffix.lower())
        return self.form == usual

    @property
    def remarks(self) -> list[str]:
        """What people may want to know once all lines are read."""
        unseen = sorted({*self.rules.options.labels} - self.rules.seen)
        remarks = [f"--label {name}: no line has that column or key" for name in unseen]
        if unknown := sorted(self.rules.unknown_models):
            what = f"{', '.join(unknown)}: no Space, category or alias here, so 'auto' was asked"
            remarks.append(f"{what}. models_as of the configuration gives aliases; --strict-models refuses")
        return remarks


def open_source(where: str, options: SourceOptions, stdin: io.BufferedIOBase | None = None) -> Source:
    """Open a batch: a table (.csv, .tsv), JSON (.jsonl, .json) or text file, a directory, or `-`.

    A file may be compressed by gzip. Standard input and files of other names are read as what they look like.
    Raises FileUnreadableError, BadRequestError where it is no batch, or options do not fit it.
    """
    template = PromptTemplate(options.template) if options.template is not None else None
    path = Path(where)
    if not where:
        raise BadRequestError("the batch has no name: is a variable of the shell empty?")
    if where == "-":
        return _text_source(open_text(_STDIN, stdin or _stdin()), None, RowRules(options, template, Path()))
    if path.is_dir():
        _refuse(options, f"{where} is a directory", ("separator", "id_column", "file_columns"))
        rules = RowRules(options, template, path)
        return Source(where, "directory", True, "file", rules, directory_lines)
    text = open_text(where, _opened(path))
    again = path if path.is_file() else None
    return _text_source(text, again, RowRules(options, template, path.parent))


def _stdin() -> io.BufferedIOBase:
    # Whoever starts a program may close its input.
    if sys.stdin is None:
        raise BadRequestError(f"{_STDIN} is closed: name a file, or write to it by a pipe")
    return cast("io.BufferedIOBase", sys.stdin.buffer)


def _opened(path: Path) -> io.BufferedIOBase:
    try:
        return path.open("rb")
    except OSError as error:
        raise FileUnreadableError(str(path), error.strerror or str(error)) from error


def _text_source(text: TextLines, path: Path | None, rules: RowRules) -> Source:
    """The source of a text that is open; `path` is where it can be opened again."""
    try:
        form, unit, parse = _form_of(text, rules.options)
    except BadRequestError:
        text.close()
        raise

    def read(rules: RowRules) -> Iterator[BatchLine | BadLine]:
        with closing(text if path is None else open_text(text.name, _opened(path))) as lines:
            yield from parse(lines, rules)

    if path is not None:
        text.close()
    told, asks_models = f"{form}{text.packing}", form in _APIS
    return Source(text.name, told, path is not None, unit, rules, read, asks_models)


_Parser = Callable[[TextLines, RowRules], Iterator[BatchLine | BadLine]]


def _form_of(text: TextLines, options: SourceOptions) -> tuple[str, str, _Parser]:
    """Which form a text has, what its numbers count, and how it is read."""
    suffix = "" if text.name == _STDIN else Path(text.name.removesuffix(".gz")).suffix.lower()
    first = text.first.strip()
    _refuse(options, f"{text.name} is not a directory", ("glob", "recursive"))
    as_json = suffix in {".jsonl", ".ndjson", ".json"}
    as_table = suffix in {".csv", ".tsv"} or options.separator is not None
    if as_table or (not as_json and suffix != ".txt" and looks_like_table(text.first)):
        separator = separator_of(text.first, options.separator, tabs=suffix == ".tsv")
        name = _SEPARATORS.get(separator, f"'{separator}'")
        return f"{_TABLE} {name}", "line", lambda lines, rules: table_lines(lines, separator, rules)
    if as_json or (not suffix and first[:1] in {"{", '"', "["}):
        if first.startswith("[") or (suffix == ".json" and _value_of(first) is None):
            return "JSON array", "item", whole_json
        return _rows_form(first), "line", json_lines
    _refuse(options, f"{text.name} has a prompt on each line", ("id_column", "file_columns"))
    return _TEXT, "line", _prompts


def _value_of(text: str) -> Any:
    """What the JSON says; None where it is not whole."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _rows_form(first: str) -> str:
    row = _value_of(first)
    if is_request_line(row):
        return _APIS[isinstance(row.get("params"), dict)]
    return _JSON_LINES


def _prompts(lines: TextLines, rules: RowRules) -> Iterator[BatchLine | BadLine]:
    """A prompt from each line that is not blank."""

    def line(number: int, text: str) -> BatchLine:
        prompt = text.strip()
        filled = rules.prompt({"prompt": prompt})
        return BatchLine(number, fields={"prompt": prompt if filled is None else filled})

    return each_line(lines, line)


def _refuse(options: SourceOptions, why: str, names: Sequence[str]) -> None:
    """Raise BadRequestError where an option is given that the form has no use for."""
    for name in names:
        if getattr(options, name):
            raise BadRequestError(f"--{name.replace('_', '-').rstrip('s')}: {why}")
