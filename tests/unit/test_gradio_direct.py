"""Functions that have no queue: one request and one answer, with the same care as by the queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.gradio_calls import SAY, Heard, ask, connected, failure
from tests.unit.gradio_script import Reply, Script, config
from tests.unit.gradio_server import serving

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.gradio.events import NO_REASON


def unqueued(*runs: Reply, **more: Any) -> Script:
    """An app of Gradio 3 without a queue."""
    return Script(config=config("ws", enable_queue=False), runs=list(runs), **more)


async def test_a_function_without_a_queue_is_called_past_it() -> None:
    script = unqueued(Reply({"data": ["well"]}))
    assert (await ask(script)).text == "well"
    assert script.count("/queue/join") == 0
    [body] = script.posted("/run/predict")
    assert (body["data"], body["fn_index"], "batched" in body) == (["hi"], 0, False)


async def test_an_event_may_have_no_queue_where_the_app_has_one() -> None:
    say = config("ws")["dependencies"][0] | {"queue": False}
    script = Script(config=config("ws", dependencies=[say]), runs=[Reply({"data": ["well"]})])
    assert (await ask(script)).text == "well"


async def test_a_batch_is_called_as_a_batch_of_one() -> None:
    say = config()["dependencies"][0] | {"batch": True}
    script = Script(config=config(dependencies=[say]), runs=[Reply({"data": [["well"]]})])
    assert (await ask(script)).text == "well"
    [body] = script.posted("/run/predict")
    assert (body["data"], body["batched"]) == ([["hi"]], True)


@pytest.mark.parametrize("data", [["well"], [[]], [None], [{"a": 1}]])
async def test_a_batch_without_an_answer_is_bad_output(data: list[Any]) -> None:
    say = config()["dependencies"][0] | {"batch": True}
    script = Script(config=config(dependencies=[say]), runs=[Reply({"data": data})])
    assert (await failure(script)).kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply({"error": "No, thank you"}, 500), ErrorKind.APP_ERROR, "No, thank you"),
        (Reply({"error": None}, 500), ErrorKind.APP_ERROR, NO_REASON),
        (Reply({"error": [1]}, 500), ErrorKind.APP_ERROR, NO_REASON),
        (Reply([], 500), ErrorKind.APP_ERROR, NO_REASON),
        (Reply(b"<html>", 500), ErrorKind.APP_ERROR, NO_REASON),
        (Reply(b"[" * 100_000, 500), ErrorKind.APP_ERROR, NO_REASON),
        (Reply({"detail": "Not Found"}, 404), ErrorKind.APP_ERROR, "HTTP 404: Not Found"),
        (Reply({"detail": {"detail": {"detail": "deep"}}}, 422), ErrorKind.APP_ERROR, "deep"),
        (Reply(b"<html>"), ErrorKind.BAD_OUTPUT, "not JSON"),
        (Reply(b""), ErrorKind.BAD_OUTPUT, "not JSON"),
        (Reply(b"\xff\xfe\x00"), ErrorKind.BAD_OUTPUT, "not JSON"),
        (Reply(b'{"data": ["we'), ErrorKind.BAD_OUTPUT, "not JSON"),
        (Reply(b"[" * 100_000), ErrorKind.BAD_OUTPUT, "not JSON"),
        (Reply(b"9" * 5000), ErrorKind.BAD_OUTPUT, "not JSON"),
        (Reply([]), ErrorKind.BAD_OUTPUT, "without an output"),
        (Reply({}), ErrorKind.BAD_OUTPUT, "without an output"),
        (Reply({"data": "well"}), ErrorKind.BAD_OUTPUT, "without an output"),
        (Reply({"data": []}), ErrorKind.BAD_OUTPUT, "0 outputs"),
        (Reply({"data": ["a", "b"]}), ErrorKind.BAD_OUTPUT, "2 outputs"),
    ],
)
async def test_what_is_no_answer_is_told_apart(reply: Reply, kind: ErrorKind, words: str) -> None:
    error = await failure(unqueued(reply))
    assert error.kind is kind
    assert words in str(error)


async def test_a_redirect_is_refused_and_not_followed() -> None:
    elsewhere = Script()
    async with serving(elsewhere) as url:
        error = await failure(unqueued(Reply(b"", 307, {"Location": f"{url}/run/predict"})))
    assert (error.kind, "HTTP 307" in str(error), elsewhere.seen) == (ErrorKind.APP_ERROR, True, [])


async def test_an_answer_over_the_limit_is_bad_output() -> None:
    error = await failure(unqueued(Reply({"data": ["x" * 5000]})), answer=4000)
    assert (error.stage, error.kind) == (Stage.OUTPUT, ErrorKind.BAD_OUTPUT)


async def test_not_a_number_is_no_number() -> None:
    answer = await ask(unqueued(Reply(b'{"data": [[NaN, Infinity, -Infinity]]}')))
    assert answer.data == [[None, None, None]]


async def test_a_function_that_never_answers_ends_when_its_caller_gives_up() -> None:
    async with connected(unqueued(holds={"/run/predict": asyncio.Event()})) as adapter:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await adapter.call(SAY, Heard())
        assert adapter.abandoned


@pytest.mark.parametrize(
    ("shows", "answer"), [("json", {"mood": "glad"}), ("textbox", None)], ids=["a result", "a status"]
)
async def test_a_chain_that_fails_later_keeps_the_result_that_it_shows(shows: str, answer: Any) -> None:
    kinds = {1: "textbox", 2: shows, 3: "dataframe"}
    page = {
        "components": [{"id": number, "type": kind, "props": {}} for number, kind in kinds.items()],
        "dependencies": [
            {"id": 0, "api_name": "say", "inputs": [1], "outputs": [2], "queue": False},
            {"id": 1, "api_name": "log", "outputs": [3], "queue": False, "trigger_after": 0},
        ],
    }
    said = answer or "working"
    runs = [Reply({"data": [said]}), Reply({"error": "The log cannot be reached"}, 500)]
    script = Script(config=config("ws", **page), runs=runs)
    if answer is None:
        assert "The log cannot be reached" in str(await failure(script, AppCall("hi")))
    else:
        assert (await ask(script, AppCall("hi"))).data == [answer]
