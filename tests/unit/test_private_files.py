"""What a client holds of jobs that were deleted as it read them: the last files, within a bound."""

from __future__ import annotations

from spacedock.files import Held


def test_what_came_first_goes_first() -> None:
    held = Held(limit=10)
    for name in "abc":
        held.add(name, b"12345")
        held.add(name, b"12345")
    assert [held.get(name) for name in "abc"] == [None, b"12345", b"12345"]


def test_what_is_larger_than_all_is_not_held() -> None:
    held = Held(limit=4)
    held.add("a", b"12345")
    assert held.get("a") is None
