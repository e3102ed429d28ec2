"""Lines of a batch as runs of a pipeline: what of a line becomes which input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spacedock.batching.line_request import RequestMaker
from spacedock.batching.sources.line import BatchLine
from spacedock.errors import BadRequestError
from spacedock.pipelines.model import Pipeline


def maker(**inputs: Any) -> RequestMaker:
    steps = {"say": {"space": "sayer", "prompt": "hello"}}
    pipeline = Pipeline.model_validate({"name": "p", "inputs": inputs, "steps": steps})
    return RequestMaker({"pipeline": pipeline, "batch": True, "timeout": 5.0})


def test_a_lines_prompt_files_and_columns_are_the_inputs(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a photo")
    made = maker(style={"type": "text", "default": "plain"}, photo="file", title="text")
    fields = {"prompt": "bold", "inputs": {"title": "A title"}}
    request, payloads = made.make(BatchLine(1, files=(str(tmp_path / "a.png"),), fields=fields))
    assert request.inputs["style"] == "bold"
    assert request.inputs["title"] == "A title"
    assert request.inputs["photo"] == request.files[0] == payloads[0].ref
    assert request.target == "pipeline:p"
    assert request.batch


def test_several_files_go_to_an_input_that_takes_several(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        path.write_bytes(path.name.encode())
    request, _ = maker(photos="files").make(BatchLine(1, files=tuple(map(str, paths))))
    assert [file.name for file in request.inputs["photos"]] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (BatchLine(1, fields={"prompt": "x"}), "has no input of type text"),
        (BatchLine(1, fields={"inputs": {"other": 1}}), "has no input 'other'"),
        (BatchLine(1), "needs the input 'photo'"),
        (BatchLine(1, fields={"privacy": True}), "is not private: write `privacy: true` at its steps"),
    ],
)
def test_a_line_that_does_not_fit_is_told(line: BatchLine, problem: str) -> None:
    with pytest.raises(BadRequestError, match=problem):
        maker(photo="file").make(line)
