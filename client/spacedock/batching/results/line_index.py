"""The index of a batch on disk: its lines, and what its results file has of them; memory stays small."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

_CACHE_KB = 8000
_SCHEMA = """
CREATE TABLE lines (number INTEGER PRIMARY KEY, asked TEXT, nth INTEGER, row_id TEXT, known TEXT,
  UNIQUE (asked, nth));
CREATE UNIQUE INDEX ids ON lines (row_id) WHERE row_id IS NOT NULL;
CREATE TABLE rows (asked TEXT, nth INTEGER, place INTEGER, number INTEGER, job_id TEXT, succeeded INTEGER,
  degraded INTEGER, private INTEGER, kind TEXT, why TEXT, run TEXT, known TEXT, ours INTEGER,
  PRIMARY KEY (asked, nth)) WITHOUT ROWID;
"""
_ROW = "number, job_id, succeeded, degraded, private, kind, why, run, known, ours"


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What a results file says of one line: `run` is the run that asked it, `known` its files and id.

    `kind` and `why` say why it has no answer; `ours` whether it is of the batch that the index is about.
    """

    number: int
    job_id: str
    succeeded: bool
    degraded: bool = False
    private: bool = False
    kind: str = ""
    why: str = ""
    run: str = ""
    known: str | None = None
    ours: bool = True


@dataclass(frozen=True, slots=True)
class LineName:
    """How people know a line: by its number, its files and its own id; `batch` is of which batch it is."""

    number: int
    identity: str
    files: tuple[str, ...]
    row_id: str | None
    batch: str

    @property
    def folder(self) -> str:
        """The name of the folder for its files."""
        if self.row_id is not None:
            return self.row_id
        return Path(self.files[0]).name if len(self.files) == 1 else f"{self.number:05d}"

    @property
    def fields(self) -> dict[str, Any]:
        """What its result says of it."""
        fields: dict[str, Any] = {"line": self.number, "asked": self.identity, "batch": self.batch}
        if self.row_id is not None:
            fields["row_id"] = self.row_id
        if self.files:
            fields |= {"file": self.files[0]} if len(self.files) == 1 else {"files": self.files}
        return fields


class DuplicateIdError(ValueError):
    """Two lines have the same id; `first` is the number of the other line."""

    def __init__(self, row_id: str, first: int) -> None:
        self.first = first
        super().__init__(f"its id '{row_id}' is also that of line {first}: give each line its own")


class LineIndex:
    """The lines of a batch by number, and the last result of each by its identity."""

    def __init__(self) -> None:
        # An empty name is a temporary file of its own, which goes with the connection.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        for pragma in (f"cache_size=-{_CACHE_KB}", "journal_mode=OFF", "synchronous=OFF"):
            self._db.execute(f"PRAGMA {pragma}").close()
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")
        # Lines are read in a thread; a connection that is closed under a running statement ends the process.
        self._lock = threading.Lock()
        self.places = 0
        """How many rows the results file has, earlier tries included."""

    def close(self) -> None:
        """Remove the index; twice is safe."""
        with self._lock:
            self._db.close()

    def add_line(self, number: int, asked: str, row_id: str | None, known: str | None) -> str:
        """Note a line and return its identity: what it asks, and which of those that ask the same it is.

        Raises DuplicateIdError.
        """
        (nth,) = self._one("SELECT ifnull(max(nth), 0) + 1 FROM lines WHERE asked = ?", asked)
        try:
            self._one("INSERT INTO lines VALUES (?, ?, ?, ?, ?)", number, asked, nth, row_id, known)
        except sqlite3.IntegrityError:
            (first,) = self._one("SELECT number FROM lines WHERE row_id = ?", row_id)
            raise DuplicateIdError(str(row_id), first) from None
        return _identity(asked, nth)

    def add_invalid(self, number: int) -> None:
        """Note a line that cannot be a job."""
        self._one("INSERT OR IGNORE INTO lines (number, nth) VALUES (?, 0)", number)

    def identity(self, number: int) -> str | None:
        """The identity of a line, "" for an invalid one; None for a line that was not noted."""
        found = self._one("SELECT ifnull(asked, ''), max(nth, 1) FROM lines WHERE number = ?", number)
        return _identity(*found) if found else None

    def has_id(self, number: int) -> bool:
        """Whether the line is known by an id of its own."""
        return self._one("SELECT 1 FROM lines WHERE number = ? AND row_id IS NOT NULL", number) is not None

    def last_number(self) -> int:
        """The number of the last line."""
        return int(self._one("SELECT max(number) FROM lines")[0] or 0)

    def add_row(self, identity: str, row: ResultRow) -> None:
        """Note the newest result of a line."""
        values = *_parts(identity), self.places, *astuple(row)
        self._one(f"REPLACE INTO rows VALUES ({', '.join('?' * len(values))})", *values)
        self.places += 1

    def row(self, identity: str) -> ResultRow | None:
        """The newest result of a line."""
        found = self._one(f"SELECT {_ROW} FROM rows WHERE asked = ? AND nth = ?", *_parts(identity))
        return ResultRow(*found) if found else None

    def is_tidy(self) -> bool:
        """Whether the results file has one row for each line, under its number, and none that is over."""
        query = (
            "SELECT count(*) FROM rows LEFT JOIN lines USING (asked, nth) "
            "WHERE lines.number IS NOT rows.number AND (ours OR lines.number IS NOT NULL)"
        )
        return (self._one("SELECT count(*) FROM rows"), self._one(query)) == ((self.places,), (0,))

    def kept(self, identity: str, place: int) -> int | None:
        """The number under which the row at that place of the results file stays; None if it goes.

        What an earlier try came to goes. So does what the batch asks no longer: a failure, as its line was
        mended, and the answer to a file or an id that was changed, once there is a new one. Other answers,
        and what other batches have written to the same file, stay.
        """
        parts = _parts(identity)
        last, number, ours, succeeded, known = self._one(
            "SELECT place, number, ours, succeeded, known FROM rows WHERE asked = ? AND nth = ?", *parts
        )
        if place != last:
            return None
        if now := self._one("SELECT number FROM lines WHERE asked = ? AND nth = ?", *parts):
            return int(now[0])
        over = not succeeded or (known is not None and self._is_renewed(known))
        return None if ours and over else int(number)

    def _is_renewed(self, known: str) -> bool:
        self._one("CREATE INDEX IF NOT EXISTS names ON lines (known)")
        query = "SELECT 1 FROM lines JOIN rows USING (asked, nth) WHERE lines.known = ? AND succeeded LIMIT 1"
        return self._one(query, known) is not None

    def _one(self, query: str, *values: Any) -> Any:
        with self._lock:
            return self._db.execute(query, values).fetchone()


def _identity(asked: str, nth: int) -> str:
    return asked if nth == 1 else f"{asked}-{nth}"


def _parts(identity: str) -> tuple[str, int]:
    """What a line asks, and which of those that ask the same it is."""
    asked, _, nth = identity.partition("-")
    return (asked, int(nth)) if nth.isdecimal() else (identity, 1)


def known_as(files: object, row_id: object) -> str | None:
    """What people know a line by, beside its number; None if it has neither files nor an id."""
    return json.dumps([files, row_id]) if files or row_id is not None else None
