"""The files of a batch: a row for each result, read again to know what is done; and what is no job."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from spacedock.batching.results.line_index import LineIndex, ResultRow, known_as
from spacedock.batching.results.row_forms import ROW, RowForm, RowPlaces, form_of
from spacedock.errors import BadRequestError
from spacedock.states import JobState


class ResultsFile:
    """Where results go as they come; `path` is None for standard output, which has no earlier ones.

    With `only_seen`, the file stays as it is.
    """

    def __init__(self, path: Path | None, file: TextIO, form: RowForm, *, only_seen: bool = False) -> None:
        self.path, self._file, self._form, self._only_seen = path, file, form, only_seen

    def load(self, index: LineIndex, batch: str) -> None:
        """Note what the file has in the index, and cut a torn last row off. Raises BadRequestError."""
        if self.path is None or not self.path.is_file():
            return
        end = _read_rows(self.path, self._form, index, batch)
        if self._only_seen:
            return
        self._file.truncate(end)
        if end == 0:
            self.begin()

    def begin(self) -> None:
        """Begin a new file."""
        self._file.write(self._form.header.decode())
        self._file.flush()

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one result, and make sure that the system has it, whatever becomes of this process."""
        with written(self.path):
            self._file.write(self._form.written(row))
            self._file.flush()

    def sync(self) -> None:
        """Bring what was written to the disk, where there is one."""
        if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            with written(self.path):
                os.fsync(self._file.fileno())

    def settle(self) -> None:
        """Leave the last row of each line, in the order of the lines."""
        if self.path is None:
            return
        places = RowPlaces(self.path, self._form)
        with self._anew() as (file, out):
            out.writelines(places.rows(file))

    def tidy(self, index: LineIndex) -> None:
        """Leave one result for each line, under the number that it has now (`LineIndex.kept`)."""
        if self.path is None or not self.path.is_file() or index.is_tidy():
            return
        with self._anew() as (file, out):
            for place, raw in enumerate(self._form.split(file)):
                row = self._form.read(raw)
                if (number := index.kept(str(row["asked"]), place)) is not None:
                    out.write(raw if int(row["line"]) == number else self._form.renumbered(raw, number))

    @contextmanager
    def _anew(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """The file behind its header, and a draft that takes its place."""
        assert self.path is not None
        target = self.path.resolve()
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with target.open("rb") as file, draft.open("wb") as out:
            out.write(file.read(len(self._form.header)))
            yield file, out
            out.flush()
            os.fsync(out.fileno())
        shutil.copymode(target, draft)
        draft.replace(target)


@contextmanager
def held(path: Path | None) -> Iterator[ResultsFile]:
    """The file for results, held against other commands; None is standard output.

    A new file goes again where nothing came. Raises BadRequestError.
    """
    if path is None:
        yield ResultsFile(None, sys.stdout, form_of(""))
        return
    form = form_of(path.suffix)
    with _usable(path):
        is_new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = _locked(path)
    with _closing(opened) as file:
        try:
            yield ResultsFile(path, file, form)
        finally:
            if is_new and path.is_file() and path.stat().st_size <= len(form.header):
                path.unlink()


def _locked(path: Path) -> TextIO:
    """The file, opened to add to it, once no other command writes there."""
    while True:
        file = path.open("a", encoding="utf-8", newline="")
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
def written(path: Path | None) -> Iterator[None]:
    """Say what to do where a file takes no more. Raises BadRequestError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"{path or 'standard output'} takes no more: {error.strerror or error}"
        raise BadRequestError(f"{why}. Mend that, and the same command goes on.") from error


@contextmanager
def _closing(file: TextIO) -> Iterator[TextIO]:
    """Close the file at the end; that its last words cannot be written was told before."""
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise BadRequestError(f"{path} cannot take results: {why}. Choose another -o.") from error


def seen(path: Path) -> ResultsFile:
    """The file for results as something to look at: nothing is written, whoever may be writing there."""
    return ResultsFile(path, sys.stdout, form_of(path.suffix), only_seen=True)


def _read_rows(path: Path, form: RowForm, index: LineIndex, batch: str) -> int:
    """Note a file's rows in the index; returns how many bytes they are, without a torn last one.

    Raises BadRequestError where the file holds something else (it is left as it is) or cannot be used.
    """
    with _usable(path), path.open("rb") as file:
        header = file.read(len(form.header))
        if header != form.header:
            if form.header.startswith(header):
                return 0
            raise _foreign(path)
        end, torn = len(header), b""
        for raw in form.split(file):
            if torn:
                raise _foreign(path)
            if form.is_torn(raw):
                torn = raw
                continue
            end += len(raw)
            try:
                row = form.read(raw)
                index.add_row(str(row["asked"]), row_of(row, batch))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise _foreign(path) from error
    return end


def _foreign(path: Path) -> BadRequestError:
    return BadRequestError(f"{path} exists and holds no results of a batch: choose another -o")


def row_of(row: Mapping[str, Any], batch: str) -> ResultRow:
    """What a row of the file says. Raises KeyError and the like if it is not a row of results."""
    error: Mapping[str, Any] = row.get("error") or {}
    succeeded = row.get("state") == JobState.SUCCEEDED
    files = row.get("files") or row.get("file")
    return ResultRow(
        number=int(row["line"]),
        job_id=str(row.get("id")),
        succeeded=succeeded,
        degraded=bool(row.get("degraded")),
        private=bool(row.get("privacy")),
        kind="" if succeeded else str(error.get("kind") or row.get("state")),
        why="" if succeeded else _why(row, error),
        run=str(row.get("run") or ""),
        known=known_as(files, row.get("row_id")),
        ours=row.get("batch") == batch,
    )


_LONGEST_REASON = 300


def _why(row: Mapping[str, Any], error: Mapping[str, Any]) -> str:
    """Who gave no answer and why, in one line that others of the same kind share: apps name the file."""
    said = str(error.get("message") or f"the job was {row.get('state')}").strip()
    for file in [*row.get("files", ()), row.get("file")]:
        said = said.replace(Path(file).name, "FILE") if file else said
    first, *others = said.split("\n")
    # A traceback says at its end what it is about.
    told = others[-1 if others[0].startswith("Traceback") else 0] if others and first.endswith(":") else ""
    who = [one["name"] for one in row.get("attempts", ()) if one.get("error") == error]
    return ": ".join([*who[-1:], f"{first} {told.strip()}".rstrip()[:_LONGEST_REASON]])


_LONGEST_TEXT = 1000


class InvalidLines:
    """Writes invalid lines to a file beside the results, anew in each run that meets one."""

    def __init__(self, output: Path) -> None:
        self.path = output.parent / f"{output.stem}.errors.jsonl"
        self._file: TextIO | None = None

    def add(self, number: int, problem: str, text: str) -> None:
        """Write a line that is no job."""
        row = {"line": number, "error": problem, "text": text[:_LONGEST_TEXT]}
        with written(self.path):
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
            # Other than the results, what is no UTF-8 may stand here.
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; twice is safe."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def forget(self) -> None:
        """Delete what an earlier run wrote, now that no line is invalid; a file of others stays."""
        with suppress(OSError):
            with self.path.open("rb") as file:
                is_ours = file.read(len(ROW)) == ROW
            if is_ours:
                self.path.unlink()
