"""The models' client against a real HTTP endpoint that misbehaves as it is told.

The endpoint is scripted because no real server here fails on demand; the real one is asked in
tests/integration/test_models.py.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from spacedock.files import payload_of
from spacedock.result import ErrorKind, Stage, TokenCounts
from spacedock_worker.errors import StepError
from spacedock_worker.models.client import Models
from spacedock_worker.models.endpoint import ModelEndpoint

LISTING = {"object": "list", "data": [{"id": "tiny", "object": "model"}]}


def says(text: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice]}


def fails(status: int, message: str = "no", **headers: str) -> Callable[[], web.Response]:
    body = {"error": {"message": message, "code": status}}
    return lambda: web.json_response(body, status=status, headers=headers)


class Endpoint:
    """Answers from its two scripts in order; the last answer of each is given again and again."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.models: list[Any] = [LISTING]
        self.chats: list[Any] = [says("ready"), says("Four.")]
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.arrived = asyncio.Event()

    @property
    def prompts(self) -> list[str]:
        return [str(body["messages"][-1]["content"]) for path, _, body in self.requests if "chat" in path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        self.requests.append((request.path, dict(request.headers), body))
        self.arrived.set()
        script = self.models if request.path.endswith("/models") else self.chats
        said = script.pop(0) if len(script) > 1 else script[0]
        if inspect.iscoroutinefunction(said):
            await said()
        if callable(said):
            return said()  # type: ignore[no-any-return]
        return web.json_response(said)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(tmp_path / "model.sock")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endpoint.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(endpoint.socket)).start()
    yield endpoint
    await runner.cleanup()


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    async with Models() as models:
        yield models


def at(server: Endpoint, **more: Any) -> ModelEndpoint:
    fields = {"name": "tiny-server", "base_url": "http://model/v1", "socket": server.socket} | more
    return ModelEndpoint.model_validate(fields)


async def failure(answer: Awaitable[Any]) -> StepError:
    with pytest.raises(StepError) as caught:
        await answer
    return caught.value


async def test_the_first_listed_model_answers(server: Endpoint, models: Models) -> None:
    answer = await models.answer(at(server), "2 + 2?")
    assert (answer.text, answer.model) == ("Four.", "tiny")
    assert server.requests[0][0] == "/v1/models"
    assert server.requests[-1][2] == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "2 + 2?"}],
        "stream": False,
    }


async def test_a_limit_of_tokens_is_told(server: Endpoint, models: Models) -> None:
    await models.answer(at(server, max_tokens=7), "Hi")
    assert server.requests[-1][2]["max_tokens"] == 7


@pytest.mark.parametrize(("asked", "sent"), [(5, 5), (9, 7), ("many", 7)])
async def test_a_job_may_ask_for_less_than_the_endpoints_limit(
    models: Models, server: Endpoint, asked: Any, sent: int
) -> None:
    sampling = {"temperature": 0.5, "max_tokens": asked}
    await models.answer(at(server, max_tokens=7), "Hi", sampling=sampling)
    assert (server.requests[-1][2]["max_tokens"], server.requests[-1][2]["temperature"]) == (sent, 0.5)


async def test_an_answer_that_was_cut_says_so(server: Endpoint, models: Models) -> None:
    server.chats = [says("ready"), says("The sky is", finish_reason="length"), says("Blue.")]
    assert (await models.answer(at(server), "Hi")).truncated
    assert not (await models.answer(at(server), "Hi")).truncated


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (
            {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            TokenCounts(prompt=7, completion=3),
        ),
        ({"prompt_tokens": 7}, TokenCounts(prompt=7)),
        (None, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": 10**400}, None),
        ("many", None),
    ],
)
async def test_tokens_are_told_as_the_server_counts_them(
    server: Endpoint, models: Models, usage: Any, tokens: TokenCounts | None
) -> None:
    server.chats = [says("ready"), says("Four.") | {"usage": usage}]
    assert (await models.answer(at(server), "Hi")).tokens == tokens


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Four.", "reasoning_content": "Two."},
        {"content": "Four.", "reasoning": "Two."},
        {"content": "<think>Two.</think>Four."},
        {"content": [{"type": "text", "text": "Fo"}, {"type": "text", "text": "ur."}], "reasoning": "Two."},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Two."}]}, "Four."]},
    ],
)
async def test_thoughts_are_told_apart(server: Endpoint, models: Models, message: dict[str, Any]) -> None:
    server.chats = [says("ready"), {"choices": [{"message": message, "finish_reason": "stop"}]}]
    answer = await models.answer(at(server), "Hi")
    assert (answer.text, answer.thoughts) == ("Four.", "Two.")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"content": "", "reasoning_content": "Two."}, "only thought"),
        ({"content": None, "tool_calls": [{"id": "1"}]}, "asked for a tool"),
        ({"content": None, "refusal": "I will not."}, "refused: I will not."),
        ({"content": [{"type": "image"}, 7]}, "empty answer"),
    ],
)
async def test_what_came_instead_of_words_is_told(
    server: Endpoint, models: Models, message: dict[str, Any], why: str
) -> None:
    server.chats = [says("ready"), {"choices": [{"message": message, "finish_reason": "stop"}]}]
    assert why in str(await failure(models.answer(at(server), "Hi")))


@pytest.mark.parametrize(
    "body",
    [
        {"error": "too long"},
        {"detail": "too long"},
        {"detail": [{"loc": ["body"], "msg": "too long", "type": "value_error"}]},
        {"error": {"message": {"detail": "too long"}}},
        {"object": "error", "message": "too long", "code": 400},
        [{"error": {"message": "too long"}}],
        {"error": {}, "message": "too long"},
    ],
)
@pytest.mark.parametrize("status", [200, 400, 422, 500])
async def test_the_servers_own_words_are_told(
    server: Endpoint, models: Models, body: Any, status: int
) -> None:
    server.chats = [says("ready"), lambda: web.json_response(body, status=status)]
    assert "too long" in str(await failure(models.answer(at(server), "Hi")))


async def test_a_refusal_in_plain_text_is_told(server: Endpoint, models: Models) -> None:
    server.chats = [says("ready"), lambda: web.Response(text="too long\n", status=400)]
    assert "answered 400: too long. " in str(await failure(models.answer(at(server), "Hi")))


@pytest.mark.parametrize("data", [None, []])
async def test_a_server_without_models_is_told(server: Endpoint, models: Models, data: Any) -> None:
    server.models = [{"object": "list", "data": data}]
    assert "has no model yet" in str(await failure(models.answer(at(server), "Hi")))


async def test_the_named_model_is_asked_for(server: Endpoint, models: Models) -> None:
    await models.answer(at(server, model="big"), "Hi")
    assert server.requests[-1][2]["model"] == "big"


async def test_a_model_that_answered_lately_is_asked_at_once(server: Endpoint, models: Models) -> None:
    for _ in range(3):
        await models.answer(at(server), "2 + 2?")
    assert server.prompts == ["Hi", "2 + 2?", "2 + 2?", "2 + 2?"]


async def test_a_model_that_was_quiet_for_long_is_looked_at_again(server: Endpoint) -> None:
    now = 1000.0
    async with Models(clock=lambda: now) as models:
        await models.answer(at(server), "2 + 2?")
        now += 61
        await models.answer(at(server), "2 + 2?")
    assert server.prompts == ["Hi", "2 + 2?", "Hi", "2 + 2?"]


async def test_jobs_that_come_together_wait_for_one_load(server: Endpoint, models: Models) -> None:
    await asyncio.gather(*(models.answer(at(server), "2 + 2?") for _ in range(5)))
    assert server.prompts.count("Hi") == 1


async def test_a_model_that_loads_is_waited_for(server: Endpoint, models: Models) -> None:
    server.models = [fails(503, "Loading model"), fails(503, "Loading model"), LISTING]
    assert (await models.answer(at(server), "2 + 2?")).text == "Four."


async def test_a_completion_that_says_loading_is_waited_for(server: Endpoint, models: Models) -> None:
    server.chats = [fails(503, "Loading model"), says("ready"), says("Four.")]
    assert (await models.answer(at(server), "2 + 2?")).text == "Four."


async def test_a_model_that_was_unloaded_in_between_is_loaded_again(server: Endpoint, models: Models) -> None:
    server.chats = [says("ready"), fails(503, "Loading model"), says("ready"), says("Four.")]
    assert (await models.answer(at(server), "2 + 2?")).text == "Four."


async def test_loading_has_its_own_limit(server: Endpoint, models: Models) -> None:
    server.models = [fails(503, "Loading model")]
    error = await failure(models.answer(at(server, load_timeout=3.0), "Hi"))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.TIMEOUT)
    assert "Loading model" in str(error)


async def test_a_refusal_that_waiting_does_not_heal_is_final(server: Endpoint, models: Models) -> None:
    server.models = [fails(503, "pip install it", **{"x-should-retry": "false"})]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.MODEL_UNAVAILABLE)
    assert "pip install it" in str(error)


async def test_nothing_listening_is_told_soon(tmp_path: Path, models: Models) -> None:
    endpoint = ModelEndpoint(
        name="gone", base_url="http://model/v1", socket=tmp_path / "no.sock", connect_timeout=0.2
    )
    error = await failure(models.answer(endpoint, "Hi"))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.MODEL_UNAVAILABLE)
    assert str(tmp_path / "no.sock") in str(error)


@pytest.mark.parametrize("listing", [{}, {"object": "list", "data": 7}, ["tiny"], "hello"])
async def test_another_kind_of_server_is_told_apart(server: Endpoint, models: Models, listing: Any) -> None:
    server.models = [listing]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.MODEL_UNAVAILABLE)
    assert "base_url" in str(error)


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "api_key"), (403, "api_key"), (404, "model and base_url")]
)
async def test_a_refusal_says_what_to_correct(
    server: Endpoint, models: Models, status: int, hint: str
) -> None:
    server.models = [fails(status)]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.READY, ErrorKind.MODEL_UNAVAILABLE)
    assert hint in str(error)


@pytest.mark.parametrize("status", [400, 500])
async def test_an_endpoint_that_says_no_is_an_app_error(
    server: Endpoint, models: Models, status: int
) -> None:
    server.chats = [says("ready"), fails(status, "the context is too small")]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.APP_ERROR)
    assert "the context is too small" in str(error)


async def test_an_endpoint_that_stays_busy_is_unavailable(server: Endpoint, models: Models) -> None:
    server.chats = [says("ready"), fails(429, "busy"), says("ready"), fails(429, "busy")]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.MODEL_UNAVAILABLE)


async def test_an_answer_has_its_limit(server: Endpoint, models: Models) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    server.chats = [says("ready"), hangs]
    error = await failure(models.answer(at(server), "Hi", limit=0.2))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.TIMEOUT)


@pytest.mark.parametrize("text", ["", "  ", None, "<think>hm</think>"])
async def test_an_empty_answer_is_none(server: Endpoint, models: Models, text: str | None) -> None:
    server.chats = [says("ready"), says(text)]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.BAD_OUTPUT)


async def test_a_thought_without_end_asks_for_more_tokens(server: Endpoint, models: Models) -> None:
    server.chats = [says("ready"), says("<think>hm, hm", finish_reason="length")]
    assert "max_tokens" in str(await failure(models.answer(at(server), "Hi")))


@pytest.mark.parametrize("garbage", [{}, {"choices": []}, "hello", {"choices": [{"message": "x"}]}])
async def test_a_garbled_answer_is_bad_output(server: Endpoint, models: Models, garbage: Any) -> None:
    server.chats = [says("ready"), garbage]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.BAD_OUTPUT)


async def test_an_answer_without_end_is_not_read(server: Endpoint, models: Models) -> None:
    server.chats = [says("ready"), says("x" * 2**20)]
    error = await failure(models.answer(at(server), "Hi"))
    assert error.kind is ErrorKind.BAD_OUTPUT
    assert "the answer is longer than 1048576 bytes" in str(error)


async def test_a_connection_that_breaks_is_told(server: Endpoint, models: Models) -> None:
    async def breaks() -> None:
        raise asyncio.CancelledError

    server.chats = [says("ready"), breaks]
    error = await failure(models.answer(at(server), "Hi"))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.MODEL_UNAVAILABLE)


async def test_files_that_it_cannot_take_are_bad_input(server: Endpoint, models: Models) -> None:
    error = await failure(models.answer(at(server), "Hi", (payload_of("a.wav", b"RIFF"),)))
    assert (error.stage, error.kind) == (Stage.CALL, ErrorKind.BAD_INPUT)
    assert server.requests == []


async def test_a_stand_in_says_so(server: Endpoint, models: Models) -> None:
    answer = await models.answer(at(server, stand_in_for="SmolLM3"), "2 + 2?")
    assert answer.model == "tiny (stand-in for SmolLM3)"


async def test_a_cancelled_call_hangs_up(server: Endpoint, models: Models) -> None:
    hung_up = asyncio.Event()

    async def hangs() -> None:
        server.arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            hung_up.set()

    await models.answer(at(server), "Hi")
    server.chats, server.arrived = [hangs], asyncio.Event()
    call = asyncio.create_task(models.answer(at(server), "Hi"))
    await server.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await hung_up.wait()


async def test_nothing_of_the_environment_is_sent(
    server: Endpoint, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-cloud")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-cloud")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: cloud")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await models.answer(at(server), "Hi")
    sent = {name.lower() for _, headers, _ in server.requests for name in headers}
    assert sent <= {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    assert "cloud" not in str([headers for _, headers, _ in server.requests])


async def test_the_endpoints_key_is_sent(server: Endpoint, models: Models) -> None:
    await models.answer(at(server, api_key="sk-1"), "Hi")
    assert all(headers["Authorization"] == "Bearer sk-1" for _, headers, _ in server.requests)


async def test_prompts_are_not_logged(
    server: Endpoint, models: Models, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        await models.answer(at(server), "a-secret-prompt")
    captured = capfd.readouterr()
    assert "a-secret-prompt" not in caplog.text + captured.out + captured.err


async def test_leaving_closes_the_connections(server: Endpoint) -> None:
    async with Models() as models:
        await models.answer(at(server), "Hi")
    async with Models() as again:
        assert (await again.answer(at(server), "Hi")).text == "Four."
