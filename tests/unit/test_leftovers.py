"""Of what is left on the engine, a run of the tests removes its own, and others' only when it is old."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests import leftovers

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_only_what_is_older_than_any_run_is_a_strangers_leftover() -> None:
    rows = [
        {"Name": "young-volume", "CreatedAt": "2026-01-01T10:30:00Z"},
        {"Name": "old-volume", "CreatedAt": "2026-01-01T09:30:00Z"},
        {"Name": "young-network", "Created": "2026-01-01T12:30:00.849517975+02:00"},
        {"Name": "old-network", "Created": "2026-01-01T11:30:00.849517975+02:00"},
    ]
    assert leftovers.old(rows, NOW) == ["old-volume", "old-network"]


def test_a_run_removes_the_caches_of_its_own_instances_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(leftovers, "_instances", [])

    def docker(*arguments: str) -> str:
        asked.append(arguments)
        return f"spacedock-{own}-cache-a\nspacedock-test-0a1b2c3d-000000-cache-a\n"

    monkeypatch.setattr(leftovers, "_docker", docker)
    leftovers.remove_own_caches()
    assert asked == []
    own = leftovers.own_instance()
    leftovers.remove_own_caches()
    assert asked[-1] == ("volume", "rm", f"spacedock-{own}-cache-a")
