"""What is wrong with a value is said in words of ours, wherever a person may have written it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spacedock._wire.wire import describe, words_of
from spacedock.mcp.tools import KINDS
from spacedock.pipelines.model import Pipeline
from spacedock.request import JobRequest
from spacedock_worker.registry.entry import SpaceEntry
from spacedockd.http.native import OPERATIONS
from spacedockd.settings import DaemonSettings

PYDANTICS = re.compile(r"should|permitted|Input|unable|Field required|^Value|instance of|can't|\(\?")
"""What only pydantic says."""

WRONG: tuple[Any, ...] = (
    *(None, "", "x", "a b", "\0", "x" * 100_000, "../x", "9" * 30, "9" * 5000, "1.5", -1, 0, 10**30, 1.5),
    *(float("inf"), float("nan"), True, [], [None], [1] * 3000, ["x"], {}, {"x": None}, {"x": 1}, {"": "x"}),
    *({1: 2}, b"\xff", object()),
)


def models_of(kind: type[BaseModel], known: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """The model and those of its fields."""
    if kind not in known:
        known.add(kind)
        for field in kind.model_fields.values():
            for one in parts_of(field.annotation):
                models_of(one, known)
    return known


def parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models within a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from parts_of(one)


BODIES = {one for found in OPERATIONS for body in found.bodies.values() for one in parts_of(body)}
QUERIES = {found.query for found in OPERATIONS}
WRITTEN = (SpaceEntry, DaemonSettings, Pipeline, JobRequest, *KINDS.values(), *BODIES, *QUERIES)
"""What people write."""

MODELS = sorted(set().union(*(models_of(one, set()) for one in WRITTEN)), key=lambda one: one.__qualname__)


def faults_of(kind: type[BaseModel], fields: Any) -> list[ErrorDetails]:
    """What is wrong with them, in pydantic's form."""
    try:
        kind.model_validate(fields)
    except ValidationError as error:
        found = error
    else:
        return []
    assert not PYDANTICS.search(told := describe(found)), told
    # Nor pydantic's name of a type in the place of a field.
    assert "validator()" not in told
    return found.errors(include_url=False, include_input=False)


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__qualname__)
def test_a_wrong_value_of_any_kind_is_told_in_words_of_ours(kind: type[BaseModel]) -> None:
    for name, field in kind.model_fields.items():
        for value in WRONG:
            for fault in faults_of(kind, {field.alias or name: value}):
                assert not PYDANTICS.search(words := words_of(fault)), (name, fault)
                assert not re.search(r"{[a-z_]+}", words)
    for fields in WRONG:
        faults_of(kind, fields)


def test_the_words_name_the_limit_and_never_the_value() -> None:
    def told(**fields: Any) -> str:
        with pytest.raises(ValidationError) as caught:
            JobRequest.model_validate({"prompt": "x", **fields})
        return describe(caught.value)

    assert told(timeout=0) == "timeout: must be over 0"
    assert told(timeout=1e6) == "timeout: must be at most 86,400"
    assert told(timeout="my secret") == "timeout: must be a number"
    assert told(tier="gold") == "tier: must be 'auto', 'heavy', 'fast' or 'default'"
    assert told(prompt=7) == "prompt: must be a text"
    assert told(inputs=[]) == "inputs: must be a mapping of names to values"
    with pytest.raises(ValidationError) as caught:
        SpaceEntry.model_validate({"id": "mood", "port": 0, "gqu": "auto"})
    assert describe(caught.value) == "port: must be at least 1; gqu: is unknown: leave it out"
