"""Finding Spaces of the registry by words: an index in memory, ranked by BM25 (SQLite's FTS5)."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable
from threading import Lock

from spacedock_worker.recommend.taxonomy import taxonomy, tokens_of
from spacedock_worker.registry.entry import SpaceEntry

# How much a word counts by where it stands: name, hub id, description, tags, category.
_WEIGHTS = (6.0, 3.0, 3.0, 2.0, 1.0)
_LONGEST_FIELD = 4000
_MOST_WORDS = 24
_BEGINS = 4
"""From this length on a word also finds longer words that begin with it."""

_QUERY = (
    "SELECT id, bm25(spaces, 0, ?, ?, ?, ?, ?) AS rank FROM spaces WHERE spaces MATCH ? ORDER BY rank LIMIT ?"
)


class Index:
    """The Spaces that were given, by their names, Hub ids, descriptions, tags and categories.

    May be asked from any thread. Its memory is freed when nobody holds it any more.
    """

    def __init__(self, entries: Iterable[SpaceEntry]) -> None:
        self._lock = Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        # A search may still run in an index that was replaced, so no caller knows when to close it.
        weakref.finalize(self, self._database.close)
        columns = "name, hub_id, description, tags, category"
        self._database.execute(
            f"CREATE VIRTUAL TABLE spaces USING fts5(id UNINDEXED, {columns}, tokenize='porter unicode61')"
        )
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO spaces VALUES (?, ?, ?, ?, ?, ?)", map(_row, entries))
        self._database.execute("COMMIT")

    def search(self, words: str, limit: int = 20) -> list[tuple[str, float]]:
        """The names of the Spaces that the words find, the best first, each with its score (more is better).

        Any text will do: nothing in it is taken for syntax.
        """
        terms = _terms(words)
        if not terms:
            return []
        with self._lock:
            rows = self._database.execute(_QUERY, (*_WEIGHTS, " OR ".join(terms), limit)).fetchall()
        return [(name, -rank) for name, rank in rows]


def _row(entry: SpaceEntry) -> tuple[str, str, str, str, str, str]:
    fields = (entry.id, entry.hub_id or "", entry.description, " ".join(entry.tags), entry.category)
    name, hub_id, description, tags, category = (field[:_LONGEST_FIELD] for field in fields)
    return entry.id, name, hub_id, description, tags, category


def telling(words: str) -> list[str]:
    """The words that say something, in lower case and each once."""
    return [word for word in dict.fromkeys(tokens_of(words)) if word not in taxonomy().empty]


def _terms(words: str) -> list[str]:
    """The words as an FTS5 query's terms, each quoted."""
    return [f'"{word}"*' if len(word) >= _BEGINS else f'"{word}"' for word in telling(words)[:_MOST_WORDS]]
