"""The index over the registry's words."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from spacedock_worker.recommend.search import Index
from spacedock_worker.registry.entry import SpaceEntry

SPACES = [
    SpaceEntry(id="whisper", description="Writes down what is said", tags=("asr",), category="audio"),
    SpaceEntry(id="painter", description="Pictures out of words, not whisper", hub_id="someone/sdxl-demo"),
    SpaceEntry(id="mood", description="Tells the mood of a text; transcribes nothing"),
]


@pytest.fixture
def index() -> Index:
    return Index(SPACES)


def found(index: Index, words: str) -> list[str]:
    return [name for name, _ in index.search(words)]


def test_a_name_counts_more_than_a_description(index: Index) -> None:
    assert found(index, "whisper") == ["whisper", "painter"]


@pytest.mark.parametrize(
    ("words", "name"),
    [("asr", "whisper"), ("sdxl", "painter"), ("AUDIO", "whisper"), ("moods", "mood"), ("transcri", "mood")],
)
def test_a_space_is_found_by_all_that_is_said_of_it(index: Index, words: str, name: str) -> None:
    assert found(index, words) == [name]


def test_scores_fall(index: Index) -> None:
    scores = [score for _, score in index.search("whisper mood text")]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3


@pytest.mark.parametrize("words", ["", "   ", "the of and", "?!", '"', "nothingofthekind"])
def test_words_that_say_nothing_find_nothing(index: Index, words: str) -> None:
    assert index.search(words) == []


@pytest.mark.parametrize(
    "words",
    [
        'mood"',
        "mood OR",
        'mood" OR "x',
        "NEAR(mood",
        "name:mood",
        "mood*",
        "-mood",
        "(mood",
        "mood\x00",
        "^mood",
    ],
)
def test_no_text_is_taken_for_syntax(index: Index, words: str) -> None:
    assert "mood" in found(index, words)


def test_many_threads_may_ask(index: Index) -> None:
    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(found(index, "whisper"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [["whisper", "painter"]] * 8


def test_the_limit_holds(index: Index) -> None:
    assert len(index.search("whisper mood pictures", limit=2)) == 2


def test_an_index_that_nobody_holds_closes_its_database() -> None:
    database = Index(SPACES)._database
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")
