"""The adapter against a local server that speaks Gradio's protocol, well and badly, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from spacedock.files import payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppAnswer, AppCall
from spacedock_worker.adapters.gradio import GradioAdapter
from spacedock_worker.adapters.gradio.http import AppHttp
from spacedock_worker.adapters.gradio.queue import NO_REASON, SseQueue
from spacedock_worker.errors import StepError

DONE = {"msg": "process_completed", "event_id": "e", "success": True, "output": {"data": ["well"]}}
HEARTBEAT = {"msg": "heartbeat"}


def config(**more: Any) -> dict[str, Any]:
    box, picture = {"id": 1, "type": "textbox"}, {"id": 2, "type": "image"}
    say = {"id": 0, "api_name": "say", "inputs": [1], "outputs": [1]}
    see = {"id": 1, "api_name": "see", "inputs": [2], "outputs": [2]}
    return {
        "version": "6.31.0",
        "protocol": "sse_v3",
        "api_prefix": "/gradio_api",
        "components": [box, picture],
        "dependencies": [say, see],
    } | more


@dataclass
class Script:
    """What the server answers; `raw` is written to the stream as it is, and then it ends."""

    config: Any = field(default_factory=config)
    joins: list[web.Response] = field(default_factory=list)
    raw: bytes = b""
    endless: bool = False
    silent: bool = False
    file: web.Response | None = None
    upload: web.Response | None = None
    seen: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def says(self, *events: object) -> Script:
        self.raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        return self


async def answer(script: Script, request: web.Request) -> web.StreamResponse:
    script.seen.append(request.path)
    script.headers.append(dict(request.headers))
    match request.path.removeprefix("/gradio_api"):
        case "/config":
            cookie = {"Set-Cookie": "session=1; Path=/"}
            return web.json_response(script.config, headers=cookie)
        case "/queue/join":
            return script.joins.pop(0) if script.joins else web.json_response({"event_id": "e"})
        case "/queue/data":
            return await stream(script, request)
        case "/upload":
            return script.upload or web.json_response(["/tmp/gradio/a/a.png"])
        case path if path.startswith("/file="):
            return script.file or web.Response(body=b"PNG", content_type="image/png")
    return web.Response(status=404)


async def stream(script: Script, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    script.listening.set()
    try:
        await response.write(script.raw)
        while script.endless:
            await response.write(b'data: {"msg":"heartbeat"}\n\n')
            await asyncio.sleep(0.01)
        if script.silent:
            await asyncio.Event().wait()
    except (ConnectionError, asyncio.CancelledError):
        script.left.set()
        raise
    return response


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", partial(answer, script))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(script: Script, call: AppCall | None = None, **limits: int) -> AppAnswer:
    async with serving(script) as url, GradioAdapter(url, **limits) as app:
        return await app.call(call or AppCall("hi", endpoint="/say"), lambda text: None)


async def failure(script: Script, call: AppCall | None = None, **limits: int) -> StepError:
    with pytest.raises(StepError) as caught:
        await ask(script, call, **limits)
    return caught.value


def failed(error: object) -> dict[str, Any]:
    return DONE | {"success": False, "output": {"error": error}}


def picture(**value: Any) -> dict[str, Any]:
    value = {"path": "/tmp/gradio/a/cat.png", "meta": {"_type": "gradio.FileData"}} | value
    return DONE | {"output": {"data": [value]}}


SEE = AppCall("", (payload_of("a.png", b"PNG"),), endpoint="/see")


async def test_heartbeats_unknown_events_and_other_calls_are_passed_over() -> None:
    other = failed("not ours") | {"event_id": "other"}
    script = Script().says(HEARTBEAT, {"msg": "new"}, {}, other, DONE)
    assert (await ask(script)).text == "well"


async def test_progress_is_told_once_for_each_change() -> None:
    unit = {"index": 1, "length": 3, "desc": "counting\x07", "progress": None}
    script = Script().says(
        {"msg": "estimation", "rank": 2},
        {"msg": "estimation", "rank": 2},
        {"msg": "process_starts"},
        {"msg": "progress", "progress_data": [unit]},
        {"msg": "progress", "progress_data": [{"progress": 0.5}]},
        {"msg": "progress", "progress_data": "odd"},
        {"msg": "process_generating", "output": {"data": [[["append", [], "x"]]]}},
        DONE,
    )
    told: list[str] = []
    async with serving(script) as url, GradioAdapter(url) as app:
        await app.call(AppCall("hi", endpoint="/say"), told.append)
    assert told == ["queue position 3", "running", "counting 1/3", "progress 50%", "answering"]


async def test_the_app_is_described_once() -> None:
    script = Script().says(DONE)
    async with serving(script) as url, GradioAdapter(url) as app:
        for _ in range(2):
            await app.call(AppCall("hi", endpoint="/say"), lambda text: None)
    assert script.seen.count("/config") == 1


async def test_no_cookie_and_no_credential_is_ever_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    script = Script().says(DONE)
    await ask(script)
    assert not any({"Cookie", "Authorization"} & headers.keys() for headers in script.headers)


async def test_the_words_of_the_app_are_the_error() -> None:
    error = await failure(Script().says(failed("No, thank you")))
    assert (error.stage, error.kind, str(error)) == (Stage.CALL, ErrorKind.APP_ERROR, "No, thank you")


@pytest.mark.parametrize("silent", [None, "", 3, {"a": 1}])
async def test_a_failure_without_words_says_where_to_look(silent: object) -> None:
    error = await failure(Script().says(failed(silent)))
    assert (error.kind, str(error)) == (ErrorKind.APP_ERROR, NO_REASON)


@pytest.mark.parametrize("raw", [b"", b'data: {"msg":"process_starts"}\n\n', b'data: {"msg":"proc'])
async def test_a_stream_that_ends_early_is_a_crash(raw: bytes) -> None:
    assert (await failure(Script(raw=raw))).kind is ErrorKind.CRASHED


@pytest.mark.parametrize("message", ["unexpected_error", "server_stopped"])
async def test_an_app_that_stops_is_a_crash(message: str) -> None:
    error = await failure(Script().says({"msg": message, "message": "bye", "success": False}))
    assert (error.kind, "bye" in str(error)) == (ErrorKind.CRASHED, True)


@pytest.mark.parametrize(
    "event",
    [
        [1],
        "text",
        DONE | {"output": None},
        DONE | {"output": {}},
        DONE | {"output": {"data": "well"}},
        DONE | {"output": {"data": []}},
        DONE | {"output": {"data": ["a", "b"]}},
    ],
)
async def test_events_of_the_wrong_shape_are_bad_output(event: object) -> None:
    assert (await failure(Script().says(event))).kind is ErrorKind.BAD_OUTPUT


async def test_an_answer_over_the_limit_is_bad_output() -> None:
    script = Script().says(DONE | {"output": {"data": ["x" * 5000]}})
    assert (await failure(script, max_answer_bytes=4000)).kind is ErrorKind.BAD_OUTPUT


async def test_a_description_over_the_limit_is_bad_output() -> None:
    assert (await failure(Script(), max_answer_bytes=50)).kind is ErrorKind.BAD_OUTPUT


async def test_a_call_that_never_ends_is_left_when_the_caller_gives_up() -> None:
    script = Script(endless=True)
    async with serving(script) as url, GradioAdapter(url) as app:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await app.call(AppCall("hi", endpoint="/say"), lambda text: None)
        async with asyncio.timeout(5):
            await script.left.wait()


async def test_a_cancelled_call_is_cancelled() -> None:
    script = Script(silent=True)
    async with serving(script) as url, GradioAdapter(url) as app:
        task = asyncio.create_task(app.call(AppCall("hi", endpoint="/say"), lambda text: None))
        await script.listening.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_connection_that_goes_silent_is_a_crash() -> None:
    async with serving(Script(silent=True)) as url, AppHttp(url, silence_seconds=0.2) as http:
        with pytest.raises(StepError) as caught:
            await SseQueue(http, "/gradio_api", 1000).call(0, ["hi"], lambda text: None)
    assert caught.value.kind is ErrorKind.CRASHED


def full() -> web.Response:
    return web.json_response({"detail": "Queue is full. Max size is 1 and size is 1."}, status=503)


async def test_a_full_queue_is_tried_again() -> None:
    script, told = Script(joins=[full(), full()]).says(DONE), []
    async with serving(script) as url, AppHttp(url) as http:
        queue = SseQueue(http, "/gradio_api", 1000, waits=(0, 0))
        assert await queue.call(0, ["hi"], told.append) == ["well"]
    assert told == ["the app's queue is full"] * 2


async def test_a_queue_that_stays_full_is_an_app_error() -> None:
    async with serving(Script(joins=[full(), full()])) as url, AppHttp(url) as http:
        with pytest.raises(StepError, match="Queue is full") as caught:
            await SseQueue(http, "/gradio_api", 1000, waits=(0,)).call(0, ["hi"], lambda text: None)
    assert caught.value.kind is ErrorKind.APP_ERROR


@pytest.mark.parametrize(
    ("join", "kind"),
    [
        (web.json_response({"detail": "too long"}, status=422), ErrorKind.APP_ERROR),
        (web.Response(status=500, text="<html>"), ErrorKind.APP_ERROR),
        (web.json_response([]), ErrorKind.BAD_OUTPUT),
        (web.json_response({"event_id": None}), ErrorKind.BAD_OUTPUT),
        (web.Response(text="<html>"), ErrorKind.BAD_OUTPUT),
    ],
)
async def test_a_refused_join_is_told_apart(join: web.Response, kind: ErrorKind) -> None:
    assert (await failure(Script(joins=[join]))).kind is kind


async def test_an_unsupported_protocol_names_itself_and_the_version() -> None:
    error = await failure(Script(config=config(protocol="ws", version="3.50.2")))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.UNSUPPORTED)
    assert "3.50.2" in str(error)
    assert "'ws'" in str(error)


async def test_files_go_up_and_come_down_through_the_apps_own_routes() -> None:
    script = Script().says(picture(url="http://elsewhere.invalid/cat.png", orig_name="../c a t.png"))
    answer = await ask(script, SEE)
    assert answer.data == [{"file": "c a t.png", "index": 0}]
    assert [(f.ref.name, f.ref.media_type, f.data) for f in answer.files] == [
        ("c a t.png", "image/png", b"PNG")
    ]
    assert "/gradio_api/file=/tmp/gradio/a/cat.png" in script.seen


async def test_a_path_cannot_leave_the_apps_file_route() -> None:
    script = Script().says(picture(path="x?y=1#z/../../config"))
    await ask(script, SEE)
    assert script.seen[-1].startswith("/gradio_api/file=x?y=1#z")


async def test_a_redirect_is_not_followed() -> None:
    moved = web.Response(status=302, headers={"Location": "http://169.254.169.254/"})
    error = await failure(Script(file=moved).says(picture()), SEE)
    assert (error.stage, error.kind) == (Stage.OUTPUT, ErrorKind.BAD_OUTPUT)
    assert "HTTP 302" in str(error)


@pytest.mark.parametrize("limits", [{"max_file_bytes": 2}, {"max_files_bytes": 2}])
async def test_a_file_over_a_limit_is_bad_output(limits: dict[str, int]) -> None:
    assert (await failure(Script().says(picture()), SEE, **limits)).kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    ("upload", "kind"),
    [
        (web.Response(status=413), ErrorKind.APP_ERROR),
        (web.json_response([]), ErrorKind.BAD_OUTPUT),
        (web.json_response([{"path": "x"}]), ErrorKind.BAD_OUTPUT),
    ],
)
async def test_a_refused_upload_names_the_file(upload: web.Response, kind: ErrorKind) -> None:
    error = await failure(Script(upload=upload), SEE)
    assert (error.kind, "a.png" in str(error)) == (kind, True)


@pytest.mark.parametrize("told", [None, [], {}, {"dependencies": None}, "<html>"])
async def test_something_that_is_not_gradio_is_not_ready(told: object) -> None:
    async with serving(Script(config=told)) as url, GradioAdapter(url) as app:
        assert not await app.is_ready()


async def test_an_app_that_describes_itself_is_ready() -> None:
    async with serving(Script()) as url, GradioAdapter(url) as app:
        assert await app.is_ready()


async def test_an_app_that_is_not_there_is_not_ready_and_its_call_a_crash() -> None:
    async with serving(Script()) as url:
        gone = url
    async with GradioAdapter(gone) as app:
        assert not await app.is_ready()
        with pytest.raises(StepError) as caught:
            await app.call(AppCall("hi"), lambda text: None)
    assert caught.value.kind is ErrorKind.CRASHED
