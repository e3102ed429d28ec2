"""Answers of workers: as they came, or refused in words where another version's cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from spacedock._wire.wire import checked
from spacedock.errors import WireError
from spacedock.replies import host, spaces

LOGS = {"logs": {"one": "a line"}}
REPLIES = [
    kind
    for module in (host, spaces)
    for name, kind in vars(module).items()
    if name.endswith(("Reply", "Row", "Profile"))
]


def test_what_a_newer_worker_tells_besides_stays() -> None:
    told = LOGS | {"newer": 1}
    assert checked(spaces.LogsReply, told, "logs") is told


@pytest.mark.parametrize("told", [{}, {"logs": {"one": 1}}, {"logs": None}])
def test_an_answer_of_another_version_is_refused_by_its_field(told: dict[str, Any]) -> None:
    with pytest.raises(WireError, match=r"answer to 'logs' cannot be read: logs.*same version"):
        checked(spaces.LogsReply, told, "logs")


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_every_answer_has_a_schema_with_its_words(kind: Any) -> None:
    schema = TypeAdapter(kind).json_schema()
    assert schema["properties"]
    assert schema["description"]
