"""Every protocol of Gradio's queue over real sockets, where the app keeps to it and where it does not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.unit.gradio_calls import SAY, GivesUp, Heard, ask, connected, failure
from tests.unit.gradio_script import DONE, HEARTBEAT, PROTOCOLS, STARTS, done, failed, speaking

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.gradio.events import NO_REASON

WRONG: tuple[Any, ...] = (None, True, -1, 1.5, 10**4000, "x", "", [], [1], [[["a"]]], {}, {"data": [[3]]})
GROWING = {"msg": "process_generating", "output": {"data": [[["append", [], "x"]]]}}


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_an_answer_comes_whole(protocol: str) -> None:
    script = speaking(protocol, STARTS, done("wörld \U0001f600"))
    answer = await ask(script)
    assert (answer.endpoint, answer.text, answer.data) == ("/say", "wörld \U0001f600", ["wörld \U0001f600"])


async def test_the_call_is_sent_with_its_data_and_a_session_of_its_own(protocol: str) -> None:
    script = speaking(protocol, DONE)
    async with connected(script) as adapter:
        for _ in range(2):
            await adapter.call(SAY, Heard())
    path = {"ws": "/send_data", "sse": "/queue/data"}.get(protocol, "/queue/join")
    bodies = script.posted(path)
    assert [(body["data"], body["fn_index"]) for body in bodies] == [(["hi"], 0)] * 2
    assert len({body["session_hash"] for body in bodies}) == 2


async def test_heartbeats_and_unknown_messages_are_passed_over(protocol: str) -> None:
    script = speaking(protocol, HEARTBEAT, {"msg": "new"}, {"msg": None}, {}, DONE)
    assert (await ask(script)).text == "well"


async def test_progress_is_told_once_for_each_change(protocol: str) -> None:
    unit = {"index": 1, "length": 3, "desc": "counting\x07", "progress": None}
    script = speaking(
        protocol,
        {"msg": "estimation", "rank": 2},
        {"msg": "estimation", "rank": 2},
        STARTS,
        {"msg": "progress", "progress_data": [unit]},
        {"msg": "progress", "progress_data": [{"progress": 0.5}]},
        {"msg": "progress", "progress_data": "odd"},
        {"msg": "log", "log": "nearly there"},
        DONE,
    )
    heard = Heard()
    async with connected(script) as adapter:
        await adapter.call(SAY, heard)
    told = ["queue position 3", "running", "counting 1/3", "progress 50%", "nearly there"]
    assert heard.messages == told


async def test_text_that_grows_is_told_as_far_as_it_is(protocol: str) -> None:
    edits = protocol in ("sse_v2", "sse_v2.1", "sse_v3")
    second = [["append", [], " two"]] if edits else "one two"
    grow = [{"msg": "process_generating", "output": {"data": [part]}} for part in ("one", second)]
    heard = Heard()
    async with connected(speaking(protocol, STARTS, *grow, done("one two three"))) as adapter:
        answer = await adapter.call(SAY, heard)
    assert answer.text == "one two three"
    assert heard.partials[0] == "one"


async def test_the_words_of_the_app_are_the_error(protocol: str) -> None:
    error = await failure(speaking(protocol, failed("No, thank you")))
    assert (error.stage, error.kind, str(error)) == (Stage.CALL, ErrorKind.APP_ERROR, "No, thank you")


@pytest.mark.parametrize("silent", [None, "", 3, {"a": 1}])
async def test_a_failure_without_words_says_where_to_look(protocol: str, silent: object) -> None:
    error = await failure(speaking(protocol, failed(silent)))
    assert (error.kind, str(error)) == (ErrorKind.APP_ERROR, NO_REASON)


@pytest.mark.parametrize("events", [(), (STARTS,), (STARTS, GROWING)])
@pytest.mark.parametrize("ending", ["end", "abort"])
async def test_a_stream_that_ends_early_is_a_crash(
    protocol: str, events: tuple[Any, ...], ending: Any
) -> None:
    assert (await failure(speaking(protocol, *events, ending=ending))).kind is ErrorKind.CRASHED


@pytest.mark.parametrize("message", ["unexpected_error", "server_stopped"])
async def test_an_app_that_stops_is_a_crash(protocol: str, message: str) -> None:
    error = await failure(speaking(protocol, {"msg": message, "message": "bye", "success": False}))
    assert (error.kind, "bye" in str(error)) == (ErrorKind.CRASHED, True)


@pytest.mark.parametrize(
    "last",
    [
        [1],
        "text",
        DONE | {"output": None},
        DONE | {"output": {}},
        DONE | {"output": {"data": "well"}},
        done(),
        done("a", "b"),
    ],
)
async def test_an_answer_of_the_wrong_shape_is_bad_output(protocol: str, last: object) -> None:
    assert (await failure(speaking(protocol, STARTS, last))).kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize("raw", [b"<html>", b"{", b"[" * 100_000])
async def test_a_message_that_is_no_json_is_bad_output(protocol: str, raw: bytes) -> None:
    framed = raw if protocol == "ws" else b"data: " + raw + b"\n\n"
    assert (await failure(speaking(protocol, STARTS, raw=framed))).kind is ErrorKind.BAD_OUTPUT


async def test_wrong_types_on_the_way_to_the_answer_do_no_harm(protocol: str) -> None:
    messages: list[dict[str, Any]] = [
        {"msg": "estimation", "rank": 1, "queue_size": 2, "rank_eta": 1.5},
        {"msg": "progress", "progress_data": [{"index": 1, "length": 2, "progress": 0.1, "desc": "a"}]},
        {"msg": "log", "log": "a", "level": "info"},
        {"msg": "process_starts", "eta": 1},
        {"msg": "process_generating", "success": True, "output": {"data": ["a"]}},
    ]
    odd = [message | {key: wrong} for message in messages for key in message for wrong in WRONG]
    unit = messages[1]["progress_data"][0]
    odd += [{"msg": "progress", "progress_data": [unit | {key: w}]} for key in unit for w in WRONG]
    assert (await ask(speaking(protocol, *odd, DONE))).text == "well"


async def test_edits_that_do_not_fit_are_left_out(protocol: str) -> None:
    grow = [{"msg": "process_generating", "output": {"data": data}} for data in (["a"], [[["add", [1], 2]]])]
    heard = Heard()
    async with connected(speaking(protocol, *grow, done("whole"))) as adapter:
        assert (await adapter.call(SAY, heard)).text == "whole"
    assert heard.partials[0] == "a"


async def test_a_call_that_is_never_answered_ends_when_its_caller_gives_up(protocol: str) -> None:
    script = speaking(protocol, STARTS, ending="heartbeats")
    async with connected(script) as adapter:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60) as deadline:
                await adapter.call(SAY, GivesUp(deadline))
        async with asyncio.timeout(60):
            await script.left.wait()


async def test_an_answer_that_never_stops_growing_ends_when_its_caller_gives_up(protocol: str) -> None:
    script = speaking(protocol, STARTS, ending="growth")
    async with connected(script) as adapter:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60) as deadline:
                await adapter.call(SAY, GivesUp(deadline))
        async with asyncio.timeout(60):
            await script.left.wait()


async def test_an_answer_that_grows_past_all_limits_is_bad_output(protocol: str) -> None:
    part = {"msg": "process_generating", "output": {"data": ["x" * 500]}}
    script = speaking(protocol, STARTS, *[part] * 100, DONE)
    assert (await failure(script, answer=2000)).kind is ErrorKind.BAD_OUTPUT


async def test_an_answer_over_the_limit_is_bad_output(protocol: str) -> None:
    script = speaking(protocol, STARTS, done("x" * 5000))
    assert (await failure(script, answer=4000)).kind is ErrorKind.BAD_OUTPUT


async def test_a_file_in_the_answer_is_fetched(protocol: str) -> None:
    picture = {"path": "/tmp/gradio/a/cat.png", "meta": {"_type": "gradio.FileData"}}
    old = {"name": "/tmp/gradio/a/cat.png", "data": None, "is_file": True}
    config_of_see = speaking(protocol, done(old if protocol == "ws" else picture))
    config_of_see.config["dependencies"][0]["outputs"] = [2]
    answer = await ask(config_of_see)
    assert [(f.ref.name, f.ref.media_type, f.data) for f in answer.files] == [
        ("cat.png", "image/png", b"PNG")
    ]
    assert json.dumps(answer.data) == '[{"file": "cat.png", "index": 0}]'
