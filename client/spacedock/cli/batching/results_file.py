"""The results file of a batch: a line of JSON for each result, read again to know what is done."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from spacedock.cli.batching.line import ROW_ID
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState

_CONTROL = re.compile(r"[\x7f-\x9f]")
_ROW = b'{"line": '
"""How every line of a results file begins, also one that was torn in the middle."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a results file says of one line of the batch."""

    number: int
    job_id: str
    succeeded: bool
    degraded: bool


def read_rows(path: Path) -> dict[str, Row]:
    """The last result of each line by its identity; a torn last line is cut off.

    Raises BadRequestError where the file holds something else (it is left as it is) or cannot be used.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb+") as file:
            return _rows_of(path, file)
    except OSError as error:
        raise BadRequestError(f"{path} cannot take results: {error.strerror or error}") from error


def _rows_of(path: Path, file: BinaryIO) -> dict[str, Row]:
    found: dict[str, Row] = {}
    end = 0
    for raw in file:
        if not raw.endswith(b"\n") and (raw.startswith(_ROW) or _ROW.startswith(raw)):
            file.truncate(end)
            break
        end += len(raw)
        found.update([_row(path, raw)])
    return found


def _row(path: Path, raw: bytes) -> tuple[str, Row]:
    try:
        if not raw.endswith(b"\n"):
            raise ValueError("the last line is no result, torn or whole")
        row = json.loads(raw)
        succeeded = row.get("state") == JobState.SUCCEEDED
        return str(row["asked"]), Row(
            int(row["line"]), str(row.get("id")), succeeded, bool(row.get("degraded"))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequestError(f"{path} exists and holds no results of a batch: choose another -o") from error


@dataclass(frozen=True, slots=True)
class LineName:
    """How people know a line: by its number, its files and its row id."""

    number: int
    identity: str
    files: tuple[str, ...]
    row_id: str | None

    @classmethod
    def of(cls, number: int, identity: str, files: tuple[str, ...], request: JobRequest) -> LineName:
        """The names of a line and its request."""
        return cls(number, identity, files, request.labels.get(ROW_ID))

    @property
    def folder(self) -> str:
        """The name of the folder for its files."""
        if len(self.files) == 1:
            return Path(self.files[0]).name
        return self.row_id or f"{self.number:05d}"

    @property
    def fields(self) -> dict[str, Any]:
        """What its result says of it."""
        fields: dict[str, Any] = {"line": self.number, "asked": self.identity}
        if self.row_id is not None:
            fields["row_id"] = self.row_id
        if self.files:
            fields |= {"file": self.files[0]} if len(self.files) == 1 else {"files": self.files}
        return fields


def write_line(
    file: TextIO, name: LineName, request: JobRequest, result: JobResult, saved: Sequence[Path] = ()
) -> None:
    """Write one result as a line of JSON, and make sure that the system has it."""
    row = name.fields | {"prompt": request.prompt} | result.model_dump(mode="json")
    if saved:
        row["saved"] = [str(path) for path in saved]
    file.write(_CONTROL.sub(_escaped, json.dumps(row, ensure_ascii=False)) + "\n")
    file.flush()


def _escaped(found: re.Match[str]) -> str:
    """A character as JSON may write it instead: terminals obey those between 7F and 9F, too."""
    return f"\\u{ord(found[0]):04x}"


def sync(file: TextIO) -> None:
    """Bring what was written to the disk, where there is one."""
    if file.seekable():
        os.fsync(file.fileno())


def tidy(path: Path, names: Mapping[int, LineName]) -> None:
    """Leave one result for each line of the batch, under the number that it has now.

    What an earlier try came to goes; so does the failure of a file, or of a numbered line, that was changed
    since. Answers to what the batch no longer asks stay.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        rows = [json.loads(raw) for raw in file]
    numbers = {name.identity: name.number for name in names.values()}
    files = {name.files[0] for name in names.values() if len(name.files) == 1}
    last = {row["asked"]: place for place, row in enumerate(rows)}
    kept = [
        row | {"line": numbers.get(row["asked"], row["line"])}
        for place, row in enumerate(rows)
        if last[row["asked"]] == place
        and not (row["asked"] not in numbers and _was_mended(row, files, names))
    ]
    if kept == rows:
        return
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as out:
        for row in kept:
            out.write(_CONTROL.sub(_escaped, json.dumps(row, ensure_ascii=False)) + "\n")
        out.flush()
        sync(out)
    shutil.copymode(target, draft)
    draft.replace(target)


def _was_mended(row: dict[str, Any], files: set[str], names: Mapping[int, LineName]) -> bool:
    if row.get("state") == JobState.SUCCEEDED:
        return False
    return row["file"] in files if "file" in row else row["line"] in names
