"""What is common to rows of tables and of JSON: options, prompts from a template, and files by reference."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacedock.batching.sources.line import FIELDS, ROW_ID, ROW_IDS, few, shown
from spacedock.errors import BadRequestError, FileUnreadableError
from spacedock.files import check_file
from spacedock.openai.model_names import ModelNames

FILES = ("files", "file")
"""The keys that name files."""

_MOST_NAMES = 20
_MOST_PATH = 4096
_MOST_ID = 200


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a batch, where its own form does not say it.

    Columns and keys in `labels` are kept, not sent; `id_column` holds the caller's ids, and `file_columns`
    paths of files. `template` makes prompts of columns. `separator` is a table's; `glob` and `recursive` are
    for directories.
    """

    labels: tuple[str, ...] = ()
    id_column: str | None = None
    file_columns: tuple[str, ...] = ()
    template: str | None = None
    separator: str | None = None
    glob: str | None = None
    recursive: bool = False


class PromptTemplate:
    """A prompt with names of columns in braces; a brace that is meant as such is doubled.

    Raises BadRequestError where a brace stands alone.
    """

    def __init__(self, text: str) -> None:
        self._parts = re.split(r"(\{\{|\}\}|\{[^{}]*\})", text)
        self.names = frozenset(part[1:-1].strip() for part in self._parts[1::2] if part[1:-1].strip())
        if any("{" in part or "}" in part for part in self._parts[::2]) or "{}" in self._parts:
            raise BadRequestError(
                f"--template {text!r}: braces hold the name of a column, as in {{text}}. "
                "Double those that are meant as braces: {{ and }}"
            )
        if not self.names:
            raise BadRequestError(f"--template {text!r} names no column: write one in braces, as in {{text}}")

    def check(self, known: Collection[str]) -> None:
        """Raise ValueError where it names something that is not there, or leaves out a prompt that is."""
        if unknown := self.names - {*known}:
            there = few(sorted(known), _MOST_NAMES) or "none"
            raise ValueError(f"the template names '{min(unknown)}', which is not there. There are: {there}")
        if "prompt" in known and "prompt" not in self.names:
            raise ValueError("there is a prompt, which the template leaves out: put {prompt} into it")

    def fill(self, row: Mapping[str, Any]) -> str:
        """The prompt of a row. Raises ValueError where all that it would put in is empty, or not there."""
        self.check(row.keys())
        values = {name: _text_of(row[name]) for name in self.names}
        if not any(value.strip() for value in values.values()):
            raise ValueError(f"nothing for the template: {', '.join(sorted(values))} is empty here")
        parts = self._parts.copy()
        parts[1::2] = [
            part[0] if part in {"{{", "}}"} else values[part[1:-1].strip()] for part in parts[1::2]
        ]
        return "".join(parts)


def _text_of(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def checked_id(labels: Mapping[str, str]) -> str | None:
    """The caller's id among the labels of a line. Raises ValueError where it is too long for one."""
    if len(found := labels.get(ROW_ID) or "") > _MOST_ID:
        raise ValueError(f"its id has {len(found):,} characters: at most {_MOST_ID} will do")
    return found or None


@dataclass(frozen=True, slots=True)
class RowRules:
    """What the options mean for the rows of one source, whose files are relative to `base`.

    `models` are the names that requests of OpenAI's API may ask for. Without `local` no row may name a file
    of this machine.
    """

    options: SourceOptions
    template: PromptTemplate | None
    base: Path
    models: ModelNames = field(default_factory=ModelNames)
    local: bool = True
    seen: set[str] = field(default_factory=set)
    unknown_models: set[str] = field(default_factory=set)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that options name, apart from labels."""
        return tuple(filter(None, (self.options.id_column, *self.options.file_columns)))

    def note(self, names: Collection[str]) -> None:
        """Remember that a row has what options name."""
        self.seen.update({*self.options.labels, *self.named}.intersection(names))

    def note_model(self, name: str) -> None:
        """Remember a model that is not known here, of many the first."""
        if len(self.unknown_models) < _MOST_NAMES:
            self.unknown_models.add(shown(name))

    def id_key(self, names: Collection[str]) -> str | None:
        """Which of a row's names holds its id."""
        return self.options.id_column or next((name for name in ROW_IDS if name in names), None)

    def is_used_up(self, name: str) -> bool:
        """Whether a column is there for the template alone."""
        if self.template is None or name not in self.template.names:
            return False
        return name not in {*FIELDS, *FILES, *ROW_IDS, *self.named, *self.options.labels}

    def prompt(self, row: Mapping[str, Any]) -> str | None:
        """The prompt that the template makes; None without one. Raises ValueError."""
        return None if self.template is None else self.template.fill(row)

    def file(self, path: str) -> str:
        """The path of a file that a row names. Raises ValueError where it is no file that can be sent."""
        if re.match(r"https?://", path, re.IGNORECASE):
            raise ValueError(f"{shown(path)} is not fetched: download it, and give its path")
        if path.startswith("data:") or len(path) > _MOST_PATH:
            raise ValueError("a file is given by its path: write the data to a file")
        if not self.local:
            raise ValueError("files of this machine are not read here: send a file's bytes, in a data URL")
        place = self.base / path
        try:
            check_file(place)
        except FileUnreadableError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise ValueError(self._missing(path)) from error
            raise ValueError(str(error)) from error
        except BadRequestError as error:
            raise ValueError(str(error)) from error
        return str(place)

    def _missing(self, path: str) -> str:
        if (self.base / path).is_symlink():
            return f"{path} is a link to what is not there: mend the link, or leave it out"
        where = f"there is no file {path} in {self.base.absolute()}, where the batch is"
        if not Path(path).exists():
            return where
        return f"{where}, but in the directory you are in: write {os.path.relpath(path, self.base)}"
