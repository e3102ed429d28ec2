"""What the Hub said, kept on disk."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spacedock_worker.hub import cache as cache_module
from spacedock_worker.hub.cache import KEPT_SECONDS, HubCache
from spacedock_worker.hub.space import HubSpace

NOW = 1_700_000_000.0
SPACE = HubSpace("me/x", "X", tags=("a", "b"), last_modified=datetime(2026, 5, 4, tzinfo=UTC), relevance=0.5)


def test_an_answer_outlives_the_process(tmp_path: Path) -> None:
    HubCache(tmp_path, lambda: NOW).put("search x", (SPACE,))
    said = HubCache(tmp_path, lambda: NOW + 5).get("search x")
    assert said is not None
    assert (said.at, said.spaces) == (NOW, (SPACE,))
    assert HubCache(tmp_path, lambda: NOW).get("search y") is None


@pytest.mark.parametrize("later", [KEPT_SECONDS + 1, -KEPT_SECONDS - 1])
def test_an_old_answer_is_none_nor_is_one_of_the_far_future(tmp_path: Path, later: float) -> None:
    HubCache(tmp_path, lambda: NOW).put("search x", (SPACE,))
    assert HubCache(tmp_path, lambda: NOW + later).get("search x") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 0}',
        '{"version": 1, "question": "search x", "at": "x", "spaces": []}',
    ],
)
def test_a_broken_file_is_no_answer(tmp_path: Path, content: str) -> None:
    cache = HubCache(tmp_path, lambda: NOW)
    cache.put("search x", (SPACE,))
    (file,) = tmp_path.glob("*.json")
    file.write_text(content)
    assert cache.get("search x") is None
    assert cache.all() == ()


def test_an_answer_of_another_shape_is_none(tmp_path: Path) -> None:
    cache = HubCache(tmp_path, lambda: NOW)
    cache.put("search x", (SPACE,))
    (file,) = tmp_path.glob("*.json")
    document = json.loads(file.read_text())
    document["spaces"][0]["likes"] = "many"
    file.write_text(json.dumps(document))
    assert cache.get("search x") is None


def test_every_space_is_known_as_it_was_told_of_last(tmp_path: Path) -> None:
    for at, title in ((NOW + 9, "new"), (NOW, "old")):
        HubCache(tmp_path, lambda at=at: at).put(f"search {title}", (HubSpace("me/x", title),))
    (found,) = HubCache(tmp_path, lambda: NOW + 10).all()
    assert found.title == "new"


def test_only_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEPT_FILES", 3)
    cache = HubCache(tmp_path, lambda: NOW)
    for number in range(5):
        cache.put(f"search {number}", (SPACE,))
        # The files' times decide, and may be the same within a clock's tick.
        os.utime(cache._path(f"search {number}"), (NOW + number, NOW + number))
    cache.put("search last", ())
    kept = [number for number in range(5) if cache.get(f"search {number}")]
    assert kept == [3, 4]


def test_a_disk_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = HubCache(tmp_path / "file", lambda: NOW)
    cache.put("search x", (SPACE,))
    assert cache.get("search x") is None
