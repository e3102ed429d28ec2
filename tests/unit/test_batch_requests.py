"""From the lines of a batch to its requests: defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spacedock.batching.line_request import RequestMaker
from spacedock.batching.sources.line import BatchLine
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest

DEFAULTS: dict[str, Any] = {
    "prompt": "describe it",
    "space": "captions",
    "inputs": {"steps": "4"},
    "batch": True,
}


def made(line: BatchLine, defaults: dict[str, Any] = DEFAULTS) -> JobRequest:
    return RequestMaker(defaults).make(line)[0]


def test_a_line_goes_before_the_options() -> None:
    request = made(BatchLine(1, fields={"prompt": "own", "space": "other"}))
    assert (request.prompt, request.space, request.batch) == ("own", "other", True)


def test_the_options_fill_what_a_line_lacks() -> None:
    request = made(BatchLine(7))
    assert (request.prompt, request.space, request.inputs) == ("describe it", "captions", {"steps": "4"})


def test_inputs_of_a_line_join_those_of_the_options() -> None:
    request = made(BatchLine(1, fields={"inputs": {"seed": 1}}))
    assert request.inputs == {"steps": "4", "seed": 1}


def test_an_empty_prompt_is_told_with_its_line() -> None:
    with pytest.raises(BadRequestError, match="the prompt is empty"):
        made(BatchLine(1, fields={"prompt": " "}), {**DEFAULTS, "inputs": {}})


def test_inputs_without_a_prompt_need_a_space_that_takes_them() -> None:
    line = BatchLine(2, fields={"inputs": {"question": "how?"}})
    with pytest.raises(BadRequestError, match=r"it has inputs \(question\) and no prompt: name their Space"):
        made(line, {"prompt": "", "space": None, "inputs": {}, "batch": True})


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
def test_a_wrong_field_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        made(BatchLine(1, fields=fields))


def test_a_directory_is_packed_once_for_all_lines(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    maker = RequestMaker({**DEFAULTS, "space": str(tmp_path)})
    first, _ = maker.make(BatchLine(1))
    (tmp_path / "app.py").write_text("changed meanwhile")
    second, _ = maker.make(BatchLine(2))
    assert first.repository == second.repository
    assert [one.ref for one in maker.repository(first)] == [first.repository]


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"space": "no name"}, {"callback": "ftp://x"}])
def test_options_that_fit_no_line_are_told_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        RequestMaker({**DEFAULTS, **wrong})
