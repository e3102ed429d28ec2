"""Every line of a batch is held against its Space's app, in few questions; tests/cases asks real workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from spacedock import Client, JobRequest
from spacedock.batching.app_check import AppCheck
from spacedock.errors import NoWorkerError
from spacedock.files import Payload


class Answers(Client):
    """Stands in for a client with a worker, which takes an engine: its app takes numbers as `age` alone."""

    def __init__(self, *, known: bool = True) -> None:
        self.known, self.started, self.asked = known, 0, 0

    async def plan(
        self, request: JobRequest, payloads: Sequence[Payload] = (), *, alike: Sequence[JobRequest] = ()
    ) -> dict[str, Any]:
        self.asked += bool(alike)
        step = {"kind": "space", "mapping": [] if self.known else None, "misfit": None}
        return {"steps": [step], "misfits": [_misfit(one) for one in alike] if self.known else []}

    async def submit_prepared(self, request: JobRequest, payloads: Sequence[Payload] = ()) -> str:
        assert request.explain
        return "j"

    async def result(self, job_id: str, **_: Any) -> Any:
        self.started, self.known = self.started + 1, True


def _misfit(request: JobRequest) -> str | None:
    foreign = [name for name in request.inputs if name != "age"]
    if foreign:
        return f"it has no input '{foreign[0]}'; its inputs: age"
    return None if request.inputs.get("age", "1").isdecimal() else "age takes a number"


def line(**inputs: str) -> JobRequest:
    return JobRequest(prompt="x", space="premium", inputs=inputs)


async def problems(client: Client, requests: dict[int, JobRequest], *, start: bool = True) -> list[str]:
    check = AppCheck(client, lambda told: None, start=start)
    for number, request in requests.items():
        await check.add(number, request, [])
    return await check.problems()


async def test_each_line_is_judged_and_those_with_one_fault_are_told_together() -> None:
    requests = {2: line(age="4"), 3: line(age="x"), 4: line(age="y"), 6: line(age="z"), 7: line(age="7")}
    assert await problems(Answers(), requests) == ["lines 3-4, line 6: age takes a number"]


async def test_a_column_that_is_no_input_is_told_with_the_option_that_keeps_it() -> None:
    told = await problems(Answers(), {2: line(age="4", **{"my note": "n"})})
    assert told[0].endswith("what only describes a line is kept with --label 'my note'")


async def test_an_app_that_is_not_known_is_started_once_and_only_for_inputs() -> None:
    client = Answers(known=False)
    assert await problems(client, {1: line()}) == []
    assert client.started == 0
    assert await problems(client, {1: line(age="4"), 2: line(age="x")})
    assert client.started == 1


async def test_a_rehearsal_starts_nothing() -> None:
    client = Answers(known=False)
    assert await problems(client, {1: line(age="x")}, start=False) == []
    assert client.started == 0


async def test_many_lines_take_few_questions() -> None:
    client = Answers()
    assert await problems(client, {n: line(age=str(n)) for n in range(1, 1001)}) == []
    assert client.asked == 4


async def test_without_a_worker_the_lines_themselves_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: object, **__: object) -> None:
        raise NoWorkerError(5)

    client = Answers()
    monkeypatch.setattr(client, "plan", nobody)
    assert await problems(client, {1: line(age="x")}) == []


async def test_lines_that_name_no_space_are_not_asked_about() -> None:
    client = Answers()
    assert await problems(client, {1: JobRequest(prompt="x", category="moods")}) == []
    assert client.asked == 0
