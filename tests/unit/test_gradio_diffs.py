"""The edits by which an answer grows, and those that do not fit it."""

from __future__ import annotations

from typing import Any

import pytest

from spacedock_worker.adapters.gradio.events import BadEditError, Editor

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "he"}]


@pytest.mark.parametrize(
    ("value", "edits", "after"),
    [
        ("a", [], "a"),
        ("one", [["append", [], " two"]], "one two"),
        ("one", [["replace", [], "two"]], "two"),
        (None, [["replace", [], {"a": 1}]], {"a": 1}),
        ([1], [["append", [], [2]]], [1, 2]),
        (CHAT, [["append", [1, "content"], "llo"]], [CHAT[0], CHAT[1] | {"content": "hello"}]),
        ([1, 3], [["add", [1], 2]], [1, 2, 3]),
        ([1], [["add", [1], 2], ["add", [2], 3]], [1, 2, 3]),
        ({"a": 1}, [["add", ["b"], 2]], {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, [["delete", ["a"], None]], {"b": 2}),
        ([1, 2, 3], [["delete", [0], None]], [2, 3]),
        ({"a": [{"b": "x"}]}, [["replace", ["a", 0, "b"], "y"]], {"a": [{"b": "y"}]}),
        ("a", [["append", [], "b"], ["append", [], "c"]], "abc"),
    ],
)
def test_edits_are_made_in_their_order(value: Any, edits: list[Any], after: Any) -> None:
    assert Editor().applied(_copy(value), edits) == after


@pytest.mark.parametrize(
    ("value", "edits"),
    [
        ("a", None),
        ("a", "edits"),
        ("a", {"0": []}),
        ("a", [["append"]]),
        ("a", [["append", [], "b", "c"]]),
        ("a", [["append", "path", "b"]]),
        ("a", [[3, [], "b"]]),
        ("a", [["append", [], 3]]),
        (None, [["append", [], "a"]]),
        ("a", [["replace", [0], "b"]]),
        ("a", [["delete", [0], None]]),
        ([], [["replace", [0], 1]]),
        ([], [["delete", [0], None]]),
        ([], [["add", ["x"], 1]]),
        ([1], [["replace", [None], 1]]),
        ([1], [["append", [0, 0], 1]]),
        ({}, [["append", ["a"], 1]]),
        ({}, [["add", ["a", "b"], 1]]),
        ({}, [["add", [[]], 1]]),
        ({}, [["replace", [{}], 1]]),
        ({"a": 1}, [["delete", ["b"], None]]),
        (3, [["add", ["a"], 1]]),
        ([1], [["add", [10**30], 1]]),
        ([1], [["replace", [10**30], 1]]),
        (1.5, [["append", [], 10**400]]),
        ([1.5], [["append", [0], 10**400]]),
    ],
)
def test_edits_that_do_not_fit_are_told(value: Any, edits: Any) -> None:
    with pytest.raises(BadEditError):
        Editor().applied(_copy(value), edits)


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value
