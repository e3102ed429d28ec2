"""Joining Gradio's queue: full queues, refusals, redirects, and the calls of others beside ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.gradio_calls import SAY, Heard, ask, connected, failure
from tests.unit.gradio_script import DONE, STARTS, Reply, Script, config, done, failed, speaking
from tests.unit.gradio_server import serving

from spacedock.result import ErrorKind
from spacedock_worker.adapters import http
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.gradio.events import Follower
from spacedock_worker.adapters.gradio.transport import (
    Posting,
    SseQueue,
    SseStream,
    Transport,
    WebSocketQueue,
    call_patiently,
)
from spacedock_worker.adapters.http import AppHttp
from spacedock_worker.errors import StepError, UnexplainedError

TRANSPORTS: dict[str, Callable[[AppHttp, str, int], Transport]] = {
    "ws": WebSocketQueue,
    "sse": SseStream,
    "sse_v3": SseQueue,
}
POSTING = Posting(0, ["hi"], "session")


@pytest.fixture(params=TRANSPORTS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def transport_of(protocol: str, app: AppHttp) -> Transport:
    return TRANSPORTS[protocol](app, "/gradio_api" if protocol == "sse_v3" else "", 10_000)


async def patiently(script: Script, protocol: str, waits: tuple[float, ...], heard: Heard) -> list[Any]:
    async with serving(script) as url:
        app = AppHttp(url)
        try:
            follower = Follower(heard, ["textbox"])
            return await call_patiently(transport_of(protocol, app), POSTING, follower, waits)
        finally:
            await app.aclose()


async def test_a_full_queue_is_tried_again(protocol: str) -> None:
    heard = Heard()
    script = speaking(protocol, DONE, full=2)
    assert await patiently(script, protocol, (0, 0), heard) == ["well"]
    assert heard.messages == ["the app's queue is full"] * 2


async def test_a_queue_that_stays_full_is_an_app_error(protocol: str) -> None:
    with pytest.raises(StepError, match="queue is full") as caught:
        await patiently(speaking(protocol, DONE, full=9), protocol, (0, 0), Heard())
    assert caught.value.kind is ErrorKind.APP_ERROR


async def test_an_app_that_goes_on_talking_does_not_hold_its_answer(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CLOSE_SECONDS", 0.1)
    async with asyncio.timeout(60):
        assert (await ask(speaking(protocol, DONE, ending="growth"))).text == "well"


async def test_a_server_that_is_gone_is_a_crash(protocol: str) -> None:
    async with serving(Script()) as url:
        app = AppHttp(url)
    with pytest.raises(StepError) as caught:
        await transport_of(protocol, app).call(POSTING, Follower(Heard(), ["textbox"]))
    await app.aclose()
    assert caught.value.kind is ErrorKind.CRASHED


async def test_a_redirect_is_refused_and_not_followed(protocol: str) -> None:
    elsewhere = Script()
    async with serving(elsewhere) as url:
        moved = Reply(b"", 302, {"Location": f"{url}/secret"})
        error = await failure(speaking(protocol, DONE, joins=[moved]))
    assert (error.kind, "HTTP 302" in str(error)) == (ErrorKind.APP_ERROR, True)
    assert elsewhere.seen == []


@pytest.mark.parametrize("status", [401, 404, 422, 500])
async def test_a_refusal_to_join_is_an_app_error(protocol: str, status: int) -> None:
    error = await failure(speaking(protocol, DONE, joins=[Reply({"detail": "no, you"}, status)]))
    assert (error.kind, f"HTTP {status}" in str(error)) == (ErrorKind.APP_ERROR, True)
    assert "no, you" in str(error) or protocol == "ws"


@pytest.mark.parametrize("joined", [[], {}, {"event_id": None}, {"event_id": 3}, b"<html>", b"[" * 100_000])
async def test_a_join_without_an_id_is_bad_output(joined: object) -> None:
    assert (await failure(Script(joins=[Reply(joined)]))).kind is ErrorKind.BAD_OUTPUT


async def test_a_refusal_as_html_is_told_by_its_status() -> None:
    error = await failure(Script(joins=[Reply(b"<html>" * 1000, 500)]))
    assert str(error) == "the app refused the call (HTTP 500)"
    assert isinstance(error, UnexplainedError)


async def test_a_stream_that_is_refused_after_joining_is_a_crash() -> None:
    script = Script(routes={"/queue/data": Reply({"detail": "session not found"}, 404)})
    error = await failure(script)
    assert (error.kind, "session not found" in str(error)) == (ErrorKind.CRASHED, True)


async def test_data_that_is_refused_after_joining_is_an_app_error() -> None:
    script = speaking("sse", DONE, routes={"/queue/data": Reply({"detail": "too long"}, 422)})
    error = await failure(script)
    assert (error.kind, "too long" in str(error)) == (ErrorKind.APP_ERROR, True)


async def test_messages_of_other_calls_are_passed_over() -> None:
    ours, theirs = {"event_id": "e"}, {"event_id": "other"}
    others: tuple[Any, ...] = (3, True, [], {}, "")
    odd = [DONE | {"event_id": other} for other in others]
    script = Script().says(failed("not ours") | theirs, done("theirs") | theirs, *odd, DONE | ours)
    assert (await ask(script)).text == "well"


async def test_a_message_without_an_id_is_for_every_call() -> None:
    error = await failure(Script().says({"msg": "server_stopped", "event_id": None}))
    assert error.kind is ErrorKind.CRASHED


async def test_sessions_are_not_shared_by_calls_at_a_time() -> None:
    script = Script().says(STARTS, DONE)
    async with connected(script) as adapter:
        for _ in range(3):
            await adapter.call(SAY, Heard())
    assert len({body["session_hash"] for body in script.posted("/queue/join")}) == 3


async def test_a_websocket_is_asked_for_hash_and_data_in_that_order() -> None:
    script = speaking("ws", DONE)
    await ask(script)
    assert [path for path, _ in script.bodies[:2]] == ["/send_hash", "/send_data"]
    assert script.posted("/send_hash")[0].keys() == {"fn_index", "session_hash"}


async def test_the_first_sse_sends_its_data_under_the_id_that_it_was_given() -> None:
    script = speaking("sse", DONE)
    await ask(script)
    assert [body["event_id"] for body in script.posted("/queue/data")] == ["e"]


async def test_the_app_is_described_once_for_all_calls() -> None:
    script = Script().says(DONE)
    async with connected(script) as adapter:
        for _ in range(2):
            await adapter.call(SAY, Heard())
    assert (script.count("/config"), script.count("/info")) == (1, 1)


async def test_no_cookie_and_no_credential_is_ever_sent(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    script = speaking(protocol, DONE)
    await ask(script)
    assert not any({"Cookie", "Authorization"} & headers.keys() for headers in script.headers)


@pytest.mark.parametrize(("error", "kind"), [(None, UnexplainedError), ("no picture", StepError)])
async def test_a_failure_names_the_boxes_that_were_left_empty(error: str | None, kind: type) -> None:
    box = {"id": 1, "type": "textbox", "props": {"label": "Prompt"}}
    picture = {"id": 2, "type": "image", "props": {"label": "Picture"}}
    edit = {"id": 0, "api_name": "edit", "inputs": [1, 2], "outputs": [1]}
    page = config(components=[box, picture], dependencies=[edit])
    told = await failure(Script(config=page).says(failed(error)), AppCall("hi"))
    assert str(told).endswith("; nothing was given for Picture")
    assert type(told) is kind


async def test_an_app_that_waits_for_more_of_a_stream_is_told_that_there_is_no_more() -> None:
    part = {"msg": "process_streaming", "output": {"data": ["we"]}, "time_limit": 30}
    script = speaking("sse_v3", STARTS, part, part, done("well"))
    assert (await ask(script)).text == "well"
    assert [path for path, _ in script.bodies if path.endswith("/close")] == ["/stream/e/close"]
