"""Runs in a file of SQLite's: written behind by a thread, set aside where it is broken."""

from __future__ import annotations

import math
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from spacedock_worker.profiling.measured import Run

log = structlog.get_logger()

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, digest TEXT NOT NULL, space TEXT NOT NULL, at REAL NOT NULL, ok INTEGER NOT NULL,
  kind TEXT, start_seconds REAL, call_seconds REAL, peak_memory INTEGER);
CREATE INDEX IF NOT EXISTS runs_of ON runs (space, digest, id);
"""
_READ = "SELECT digest, space, at, ok, kind, start_seconds, call_seconds, peak_memory FROM runs ORDER BY id"
_ADD = (
    "INSERT INTO runs (digest, space, at, ok, kind, start_seconds, call_seconds, peak_memory) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
KEPT_STARTS = 20
"""The last starts of an image stay, however many calls came after them."""

_NEWER = "SELECT id FROM runs WHERE space = :space AND digest = :digest"
# Where there are fewer than are kept, the comparison is with NULL, and nothing goes.
_TRIM = (
    "DELETE FROM runs WHERE space = :space AND digest = :digest "
    f"AND id <= ({_NEWER} ORDER BY id DESC LIMIT 1 OFFSET :count) AND (start_seconds IS NULL OR "
    f"id <= ({_NEWER} AND start_seconds IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET {KEPT_STARTS}))"
)
_FORGET = "DELETE FROM runs WHERE space = ? AND digest = ?"
_PEAK = (
    "UPDATE runs SET peak_memory = :memory "
    "WHERE id = (SELECT max(id) FROM runs WHERE space = :space AND digest = :digest)"
)
# The last is a table that is not ours.
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_WAITING = 10_000
_LINGER_SECONDS = 0.2
_CLOSE_SECONDS = 5.0
_BUSY_SECONDS = 2.0

# By place, or by name where a statement uses a value twice.
_Values = tuple[Any, ...] | dict[str, Any]
_Statement = tuple[str, _Values]


class RunFile:
    """The file of the last runs; what cannot be written is lost, with a line in the log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._statements: queue.Queue[_Statement | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None

    def open(self) -> list[Run]:
        """The runs in the file, the oldest first, and the thread begun; blocks, never raises for the file."""
        try:
            runs = self._read()
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            self._report(error)
            runs = []
        self._thread = threading.Thread(target=self._write_behind, name="profiles", daemon=True)
        self._thread.start()
        return runs

    def close(self) -> None:
        """Write what waits, for 5 s at most; safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._statements.put(None, timeout=_CLOSE_SECONDS)
        except queue.Full:
            return
        thread.join(_CLOSE_SECONDS)

    def add(self, run: Run) -> None:
        """Write a run, soon."""
        numbers = (run.start_seconds, run.call_seconds, run.peak_memory)
        self._put(_ADD, (run.digest, run.space, run.at, run.ok, run.kind, *numbers))

    def trim(self, space: str, digest: str, count: int) -> None:
        """Keep the last `count` runs of that image, and its last starts, soon."""
        self._put(_TRIM, {"space": space, "digest": digest, "count": count})

    def forget(self, space: str, digest: str) -> None:
        """Keep none of that image's runs, soon."""
        self._put(_FORGET, (space, digest))

    def peaked(self, space: str, digest: str, memory: int) -> None:
        """The last run of that image had this peak, in bytes."""
        self._put(_PEAK, {"space": space, "digest": digest, "memory": memory})

    def _put(self, sql: str, values: _Values) -> None:
        try:
            self._statements.put_nowait((sql, values))
        except queue.Full:
            # The disk is slower than the runs come: they are worth less than the memory.
            log.warning("profiles.behind", waiting=_WAITING)

    def _read(self) -> list[Run]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as connection:
            # Bytes that are no text must not cost every run in the file.
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            rows = connection.execute(_READ)
            return [Run(row[0], row[1], row[2], bool(row[3]), *row[4:]) for row in rows if _is_sound(row)]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _write_behind(self) -> None:
        """Write batch after batch until told to end."""
        ends, connection = False, None
        while not ends:
            batch, ends = self._batch()
            try:
                connection = connection or self._connect()
                _write(connection, batch)
            except (sqlite3.Error, OSError) as error:
                if connection is not None:
                    connection.close()
                connection = self._begun_anew(batch) if self._report(error) else None
        if connection is not None:
            connection.close()

    def _begun_anew(self, batch: Sequence[_Statement]) -> sqlite3.Connection | None:
        """A new file with what the broken one did not take."""
        try:
            connection = self._connect()
            _write(connection, batch)
        except (sqlite3.Error, OSError) as error:
            self._report(error)
            return None
        return connection

    def _batch(self) -> tuple[list[_Statement], bool]:
        """What waits, and what comes shortly after it; and whether that was all."""
        found = [self._statements.get()]
        # A moment later there is more, for one transaction instead of many.
        until = time.monotonic() + _LINGER_SECONDS
        while found[-1] is not None and len(found) < _WAITING:
            try:
                found.append(self._statements.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return [statement for statement in found if statement is not None], found[-1] is None

    def _report(self, error: Exception) -> bool:
        """Log the error, and set a damaged file aside. Returns whether it was set aside."""
        code = getattr(error, "sqlite_errorcode", None)
        broken = isinstance(error, ValueError | TypeError) or (
            isinstance(error, sqlite3.Error) and code is not None and (code & 0xFF) in _BROKEN
        )
        log.warning("profiles.file_broken" if broken else "profiles.not_written", reason=str(error))
        if not broken:
            return False
        try:
            self._path.replace(self._path.with_name(f"{self._path.name}.broken"))
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        except OSError as problem:
            log.warning("profiles.not_set_aside", reason=str(problem))
            return False
        return True


def _is_sound(row: Sequence[Any]) -> bool:
    """Whether a row has what its columns promise: SQLite keeps anything in any of them."""
    digest, space, at, _, kind, *measures = row
    words = isinstance(digest, str) and isinstance(space, str) and isinstance(kind, str | None)
    return words and _is_number(at) and all(one is None or _is_number(one) for one in measures)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _write(connection: sqlite3.Connection, batch: Sequence[_Statement]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for sql, values in batch:
        connection.execute(sql, values)
    connection.execute("COMMIT")
