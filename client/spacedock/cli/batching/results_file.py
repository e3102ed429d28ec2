"""The results file of a batch: a line of JSON for each result, read again to know what is done."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from spacedock.errors import BadRequestError
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState

_ESCAPED = re.compile("[\x7f-\x9f\ud800-\udfff]")
"""What JSON writes as it is: terminals obey the first, and the others, of odd file names, are no UTF-8."""
_ROW = b'{"line": '
"""How every line of a results file begins, also one that was torn in the middle."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What a results file says of one line of the batch."""

    number: int
    job_id: str
    succeeded: bool
    degraded: bool


def read_rows(path: Path) -> dict[str, ResultRow]:
    """The last result of each line by its identity; a torn last line is left out.

    Raises BadRequestError where the file holds something else (it is left as it is) or cannot be used.
    """
    return _there(path)[0]


@contextmanager
def held(path: Path | None) -> Iterator[tuple[TextIO, dict[str, ResultRow]]]:
    """The file for results, held against other commands, and what it has; None is standard output.

    A torn last line is cut off, and a new file goes again where nothing came. Raises BadRequestError.
    """
    if path is None:
        yield sys.stdout, {}
        return
    with _usable(path):
        is_new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = _locked(path)
    with opened as file:
        rows, end = _there(path)
        if path.is_file():
            file.truncate(end)
        try:
            yield file, rows
        finally:
            if is_new and path.is_file() and not path.stat().st_size:
                path.unlink()


def _locked(path: Path) -> TextIO:
    """The file, opened to add to it, once no other command writes there."""
    while True:
        file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise BadRequestError(
                f"another batch is writing to {path}: wait for it, or choose another -o"
            ) from None
        except OSError:
            # Not every file system has locks.
            return file
        if os.path.samefile(file.fileno(), path):
            return file
        # A batch that was ending has put another file in its place meanwhile.
        file.close()


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise BadRequestError(f"{path} cannot take results: {why}. Choose another -o.") from error


def _there(path: Path) -> tuple[dict[str, ResultRow], int]:
    """The rows of a file, and how many bytes they are; a pipe has none."""
    found: dict[str, ResultRow] = {}
    end = 0
    if not path.is_file():
        return found, end
    with _usable(path), path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n") and (raw.startswith(_ROW) or _ROW.startswith(raw)):
                break
            end += len(raw)
            found.update([_row(path, raw)])
    return found, end


def _row(path: Path, raw: bytes) -> tuple[str, ResultRow]:
    try:
        if not raw.endswith(b"\n"):
            raise ValueError("the last line is no result, torn or whole")
        row = json.loads(raw)
        succeeded = row.get("state") == JobState.SUCCEEDED
        return str(row["asked"]), ResultRow(
            int(row["line"]), str(row.get("id")), succeeded, bool(row.get("degraded"))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequestError(f"{path} exists and holds no results of a batch: choose another -o") from error


@dataclass(frozen=True, slots=True)
class LineName:
    """How people know a line: by its number, its files and its row id; `batch` is of which batch it is."""

    number: int
    identity: str
    files: tuple[str, ...]
    row_id: str | None
    batch: str

    @property
    def folder(self) -> str:
        """The name of the folder for its files."""
        if len(self.files) == 1:
            return Path(self.files[0]).name
        return self.row_id or f"{self.number:05d}"

    @property
    def fields(self) -> dict[str, Any]:
        """What its result says of it."""
        fields: dict[str, Any] = {"line": self.number, "asked": self.identity, "batch": self.batch}
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
    file.write(_written(row))
    file.flush()


def _escaped(found: re.Match[str]) -> str:
    """A character as JSON may write it instead."""
    return f"\\u{ord(found[0]):04x}"


def sync(file: TextIO) -> None:
    """Bring what was written to the disk, where there is one."""
    if file.seekable():
        os.fsync(file.fileno())


def tidy(path: Path, names: Mapping[int, LineName]) -> None:
    """Leave one result for each line of the batch, under the number that it has now.

    What an earlier try came to goes. So does what this batch asks no longer: a failure, as its line was
    mended, and the answer to a file or row that was changed, once there is a new one. Other answers, and what
    other batches have written to the same file, stay.
    """
    if not path.is_file():
        return
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    changed = False
    with path.open("rb") as file, draft.open("wb") as out:
        last: dict[str, tuple[int, bool]] = {}
        for place, raw in enumerate(file):
            asked, row = _read(raw)
            last[asked] = place, row.get("state") == JobState.SUCCEEDED
        lines = _Lines(names, {asked for asked, (_, succeeded) in last.items() if succeeded})
        file.seek(0)
        for place, raw in enumerate(file):
            asked, row = _read(raw)
            kept = lines.kept(raw, asked, row) if last[asked][0] == place else b""
            changed = changed or kept != raw
            out.write(kept)
        out.flush()
        os.fsync(out.fileno())
    if not changed:
        draft.unlink()
        return
    shutil.copymode(target, draft)
    draft.replace(target)


class _Lines:
    """The lines that a batch has now; `answered` are the identities that have an answer."""

    def __init__(self, names: Mapping[int, LineName], answered: Collection[str]) -> None:
        self._numbers = {name.identity: name.number for name in names.values()}
        self._batches = {name.batch for name in names.values()}
        known = [_known_as(name.fields) for name in names.values() if name.identity in answered]
        self._renewed = {name for name in known if any(name)}

    def kept(self, raw: bytes, asked: str, row: dict[str, Any]) -> bytes:
        """What stays of a line's last result."""
        if (number := self._numbers.get(asked)) is None:
            ours = row.get("batch") in self._batches
            over = row.get("state") != JobState.SUCCEEDED or _known_as(row) in self._renewed
            return b"" if ours and over else raw
        return raw if row["line"] == number else _written(row | {"line": number}).encode()


def _known_as(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What people know a row by, beside its number: its files and its row id."""
    return tuple(row.get("files", ())), row.get("file"), row.get("row_id")


def _read(raw: bytes) -> tuple[str, dict[str, Any]]:
    row = json.loads(raw)
    return str(row["asked"]), row


def _written(row: Mapping[str, Any]) -> str:
    return _ESCAPED.sub(_escaped, json.dumps(row, ensure_ascii=False)) + "\n"
