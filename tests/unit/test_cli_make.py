"""From the lines of a batch to its requests: defaults, and every bad line told before any is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spacedock.batching.sources.line import BadLinesError, BatchLine
from spacedock.cli.commands.batch import make

DEFAULTS: dict[str, Any] = {
    "prompt": "describe it",
    "space": "captions",
    "inputs": {"steps": "4"},
    "batch": True,
}


def problems(*lines: BatchLine) -> list[str]:
    with pytest.raises(BadLinesError) as caught:
        make("a.jsonl", list(lines), DEFAULTS)
    return caught.value.problems


def test_a_line_goes_before_the_options(tmp_path: Path) -> None:
    request = make("a", [BatchLine(1, fields={"prompt": "own", "space": "other"})], DEFAULTS).requests[1]
    assert (request.prompt, request.space, request.batch) == ("own", "other", True)


def test_the_options_fill_what_a_line_lacks() -> None:
    request = make("a", [BatchLine(7)], DEFAULTS).requests[7]
    assert (request.prompt, request.space, request.inputs) == ("describe it", "captions", {"steps": "4"})


def test_inputs_of_a_line_join_those_of_the_options() -> None:
    request = make("a", [BatchLine(1, fields={"inputs": {"seed": 1}})], DEFAULTS).requests[1]
    assert request.inputs == {"steps": "4", "seed": 1}


def test_every_bad_line_is_told_with_its_number() -> None:
    told = problems(BatchLine(2, fields={"prompt": 5}), BatchLine(3), BatchLine(9, files=("/no/such/file",)))
    assert [line.partition(": ")[0] for line in told] == ["line 2", "line 9"]


def test_an_empty_prompt_is_told_with_its_line() -> None:
    with pytest.raises(BadLinesError, match="line 1: the prompt is empty"):
        make("a.txt", [BatchLine(1, fields={"prompt": " "})], {**DEFAULTS, "inputs": {}})


def test_inputs_without_a_prompt_need_a_space_that_takes_them() -> None:
    line = BatchLine(2, fields={"inputs": {"question": "how?"}})
    with pytest.raises(
        BadLinesError, match=r"line 2: it has inputs \(question\) and no prompt: name their Space"
    ):
        make("a.csv", [line], {"prompt": "", "space": None, "inputs": {}, "batch": True})


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout": "soon"},
        {"tier": "gold"},
        {"labels": 5},
        {"privacy": "perhaps"},
        {"endpoint": "predict"},
        {"space": "a b"},
        {"space": "/no/such/directory"},
        {"inputs": {"a": "\ud800"}},
        {"prompt": "\ud800"},
    ],
)
def test_a_wrong_field_is_told(fields: dict[str, Any]) -> None:
    assert problems(BatchLine(1, fields=fields))[0].startswith("line 1: ")


def test_a_directory_is_packed_as_the_batchs_space(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    made = make("a", [BatchLine(1), BatchLine(2)], {**DEFAULTS, "space": str(tmp_path)})
    assert made.repository is not None
    assert {request.repository for request in made.requests.values()} == {made.repository.ref}
