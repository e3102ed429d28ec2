"""JSON that is nested about as deep as the interpreter can go: read or refused, never a RecursionError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gradio_calls import Heard

from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.gradio.description import describe
from spacedock_worker.adapters.gradio.events import Follower
from spacedock_worker.adapters.gradio.output import read_outputs
from spacedock_worker.adapters.http import AppRefusedError
from spacedock_worker.errors import StepError

# Every frame of ours takes from what the parser leaves, so the last few levels matter.
DEPTHS = (*range(460, 900, 40), *range(900, 1000, 2))


def dropdown(**props: Any) -> dict[str, Any]:
    return {"dependencies": [{"inputs": [1]}], "components": [{"id": 1, "type": "dropdown", "props": props}]}


READINGS: dict[str, Callable[[Any], object]] = {
    "refusal": lambda deep: AppRefusedError(500, deep),
    "props": lambda deep: describe(dropdown(props=deep), None),
    "choices": lambda deep: describe(dropdown(choices=[deep, [deep, 1]]), None),
    "value": lambda deep: describe(dropdown(value=deep), None),
    "targets": lambda deep: describe({"dependencies": [{"targets": [deep, [1, deep]]}]}, None),
    "info": lambda deep: describe(dropdown(), deep),
    "outputs": lambda deep: read_outputs(["json"], [deep]),
    "generating": lambda deep: listening().hear({"msg": "process_generating", "output": {"data": [deep]}}),
    "progress": lambda deep: listening().hear({"msg": "progress", "progress_data": [deep]}),
    "end": lambda deep: listening().hear({"msg": "process_completed", "success": False, "output": deep}),
}


def listening() -> Follower:
    return Follower(Heard(), ["json"])


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("shape", ['{"detail":%s}', "[%s]", '{"a":[%s]}'])
def test_nesting_near_the_interpreters_limit_is_read_or_refused(reading: str, shape: str) -> None:
    start, end = shape.split("%s")
    for depth in DEPTHS:
        try:
            deep = parsed(start * depth + "1" + end * depth)
            READINGS[reading](deep)
        except StepError:
            continue
