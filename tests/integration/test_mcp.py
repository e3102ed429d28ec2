"""The MCP server on stdio, spoken to by the official SDK's own client, over a real queue and its worker."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from mcp import Client as McpClient
from mcp import ClientSession, StdioServerParameters
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolResult,
    GetTaskRequestParams,
    ImageContent,
    Request,
    ResourceLink,
    Result,
    TextContent,
)
from tests.door import Door, opened
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import Held, succeeded, until, working

from spacedock._stores.payloads import Payloads
from spacedock._wire import rpc
from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock._wire.view.tokens import Scope as TokenScope
from spacedock.client import Client
from spacedock.files import payload_of
from spacedock.mcp.content import MAX_TEXT
from spacedock.mcp.running import Limits
from spacedock.mcp.server import make_server
from spacedock.request import JobRequest
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
)
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.rpc import ControlHandler
from spacedock_worker.queue.runner import TakenJob
from spacedockd.http.mcp_routes import MAX_BODY
from spacedockd.valkey import server_binary

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)
COMMAND = str(Path(sys.executable).parent / "spacedock")
TASKS = "io.modelcontextprotocol/tasks"


@asynccontextmanager
async def served(url: str, *options: str, **how: Any) -> AsyncIterator[McpClient]:
    """A client of a server that it has started itself, as MCP clients do."""
    env = {**os.environ, "SPACEDOCK_REDIS_URL": url}
    async with McpClient(
        StdioServerParameters(command=COMMAND, args=["mcp", *options], env=env), **how
    ) as client:
        yield client


@asynccontextmanager
async def here(url: str, limits: Limits | None = None, **how: Any) -> AsyncIterator[McpClient]:
    """A client of a server in this process, where nothing depends on the transport."""
    async with Client(url) as client, McpClient(make_server(client, limits), **how) as mcp:
        yield mcp


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def answer(job: TakenJob, output: Output) -> JobResult:
    by = AnsweredBy(tier="heavy", kind=AnswerKind.SPACE, name="painter")
    return succeeded(job).model_copy(update={"output": output, "answered_by": by})


@asynccontextmanager
async def over_http(door: Door, token: str | None = None, **how: Any) -> AsyncIterator[McpClient]:
    """A client of the door's /mcp."""
    headers = {"Authorization": f"Bearer {token or door.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(f"{door.url}/mcp", http_client=http)
        async with McpClient(transport, **how) as mcp:
            yield mcp


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_prompt_is_answered_over_either_era_of_the_protocol(redis_url: str, mode: str) -> None:
    async with working(redis_url), served(redis_url, mode=mode) as mcp:
        tools = (await mcp.list_tools()).tools
        assert "$ref" not in str(tools)
        names = [tool.name for tool in tools]
        assert names == ["run_space", "find_space", "describe_space", "job_status", "get_file"]
        found = await mcp.call_tool("run_space", {"prompt": "hello", "tier": "fast"})
        assert not found.is_error
        assert text_of(found).startswith("hello")
        assert found.structured_content["state"] == "succeeded"
        again = await mcp.call_tool("job_status", {"job_id": found.structured_content["id"]})
        assert again.structured_content == found.structured_content
        (listed,) = (await mcp.call_tool("job_status", {})).structured_content["jobs"]
        assert listed["id"] == found.structured_content["id"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"promt": "x"}, "run_space: promt: is unknown: leave it out"),
    ({}, "the prompt is empty and there is no file"),
    ({"prompt": 7}, "prompt: must be a text"),
    ({"prompt": "x", "space": "/etc"}, "is not a Space"),
    ({"prompt": "x", "space": "./tests"}, "is not a Space"),
    ({"prompt": "x", "space": "https://example.com/a"}, "example.com"),
    ({"prompt": "x", "files": ["/etc/passwd"]}, "files are not read from there"),
    ({"prompt": "x", "files": ["file:///etc/passwd"]}, "files are not read from there"),
    ({"prompt": "x", "files": ["/no/such\0file"]}, "is no path"),
    ({"prompt": "x", "files": ["http://169.254.169.254/"]}, "is no file: give"),
    ({"prompt": "x", "files": ["data:image/png;base64,???"]}, "is not base64"),
    ({"prompt": "x", "files": ["data:" + ";x" * 100_000]}, "has no data"),
    ({"prompt": "x", "files": ["spacedock://files/../../etc"]}, "is no file of an answer"),
    ({"prompt": "x", "files": ["spacedock://files/" + "0" * 64]}, "0000"),
    ({"prompt": "x" * 2_000_000}, "have 1 MB at most"),
    ({"prompt": "x", "inputs": {"a": [[]] * 60_000}}, "lists and objects"),
]


async def test_what_is_wrong_with_a_call_is_told_to_the_model(redis_url: str) -> None:
    async with working(redis_url), here(redis_url) as mcp:
        for arguments, said in WRONG:
            found = await mcp.call_tool("run_space", arguments)
            assert found.is_error, arguments
            assert said in text_of(found)
            assert len(text_of(found)) < 1000
        with pytest.raises(MCPError, match="no tool rm_rf"):
            await mcp.call_tool("rm_rf", {})
        # What came before has not hurt the server.
        assert not (await mcp.call_tool("run_space", {"prompt": "still there"})).is_error


async def test_a_file_of_this_machine_is_sent_from_an_allowed_folder_alone(
    redis_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "shared folder"
    folder.mkdir()
    (folder / "a.txt").write_text("hello")
    (folder / "link").symlink_to("/etc/hostname")
    sent: list[TakenJob] = []

    async def note(job: TakenJob, tell: Emit) -> JobResult:
        sent.append(job)
        return succeeded(job)

    async with working(redis_url, note), here(redis_url, Limits([folder])) as mcp:
        for uri in (str(folder / "a.txt"), (folder / "a.txt").as_uri()):
            found = await mcp.call_tool("run_space", {"files": [uri], "inputs": {"document": uri}})
            assert not found.is_error, text_of(found)
        for uri in (f"{folder}/link", f"{folder}/../other", f"{folder}/no", str(folder)):
            assert (await mcp.call_tool("run_space", {"files": [uri]})).is_error, uri
    assert [job.request.files[0].name for job in sent] == ["1-a.txt", "1-a.txt"]
    assert [job.request.inputs for job in sent] == [{"document": "1-a.txt"}] * 2


async def test_pictures_are_shown_and_files_can_be_read_and_sent_on(redis_url: str) -> None:
    picture, page = payload_of("a.png", PIXEL), payload_of("b.html", b"<script>alert(1)</script>\x1b[31m")
    blob, fake = payload_of("c.bin", b"\xff\xfe\x00" * 10), payload_of("d.png", b"no picture")
    payloads = [picture, page, blob, fake]

    async def paint(job: TakenJob, tell: Emit) -> JobResult:
        async with connect(redis_url) as redis:
            await Payloads(redis).keep(payloads)
        return answer(job, Output(text="done\x1b]0;title\x07", files=tuple(one.ref for one in payloads)))

    async with working(redis_url, paint), here(redis_url) as mcp:
        found = await mcp.call_tool("run_space", {"prompt": "a cat"})
        kinds = [type(block).__name__ for block in found.content]
        assert kinds == ["TextContent", "ImageContent", *["ResourceLink"] * 4, "TextContent"]
        assert [block.data for block in found.content if isinstance(block, ImageContent)] == [
            base64.b64encode(PIXEL).decode()
        ]
        assert "\x1b" not in text_of(found)
        assert "answered by painter (job " in text_of(found)
        uris = [block.uri for block in found.content if isinstance(block, ResourceLink)]
        read = [(await mcp.read_resource(uri)).contents[0] for uri in uris]
        # What a stranger calls a page is not given as one.
        assert [one.mime_type for one in read] == ["image/png"] + ["application/octet-stream"] * 3
        shown = [(await mcp.call_tool("get_file", {"uri": uri})).content[0].type for uri in uris]
        assert shown == ["image", "text", "resource", "text"]
        sent = await mcp.call_tool("run_space", {"prompt": "again", "files": uris[:1]})
        assert not sent.is_error
        with pytest.raises(MCPError, match="is no file of an answer"):
            await mcp.read_resource("file:///etc/passwd")


async def test_a_long_answer_is_cut_and_a_strange_one_is_sent_all_the_same(redis_url: str) -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    outputs = [
        Output(text="x" * 200_000, data=["y"] * 50_000),
        Output(text="a\x9bb", data={"\x00": deep, "n": float("nan")}),
    ]

    async def strange(job: TakenJob, tell: Emit) -> JobResult:
        return answer(job, outputs[int(job.request.prompt)])

    async with working(redis_url, strange), here(redis_url) as mcp:
        long, odd = [await mcp.call_tool("run_space", {"prompt": str(n)}) for n in range(2)]
        assert len(long.content[0].text) == MAX_TEXT
        assert long.structured_content["output"]["data"] is None
        assert not odd.is_error
        assert odd.content[0].text.startswith("a")


async def test_a_failure_says_who_failed_and_why(redis_url: str) -> None:
    async def fail(job: TakenJob, tell: Emit) -> JobResult:
        error = AttemptError(kind=ErrorKind.OUT_OF_MEMORY, message="it needs more memory: raise `memory`")
        attempts = (Attempt(tier="heavy", name="painter", stage=Stage.CALL, error=error),)
        return JobResult(id=job.id, state=JobState.FAILED, attempts=attempts)

    async with working(redis_url, fail), here(redis_url) as mcp:
        found = await mcp.call_tool("run_space", {"prompt": "x"})
        assert found.is_error
        assert "painter: it needs more memory: raise `memory`" in text_of(found)


async def test_the_events_of_a_job_are_progress(redis_url: str) -> None:
    heard: list[tuple[float, str | None]] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async def busy(job: TakenJob, tell: Emit) -> JobResult:
        tell(Stage.CALL, "painter", "step 1 of 2\x1b[0m", None)
        return succeeded(job)

    async with working(redis_url, busy), served(redis_url) as mcp:
        await mcp.call_tool("run_space", {"prompt": "x"}, progress_callback=listen)
    counts = [count for count, _ in heard]
    assert counts == sorted(set(counts))
    assert "painter: step 1 of 2\ufffd[0m" in [message for _, message in heard]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_is_cancelled_cancels_its_job(redis_url: str, mode: str) -> None:
    held = Held()
    async with working(redis_url, held), Client(redis_url) as client, served(redis_url, mode=mode) as mcp:
        call = asyncio.create_task(mcp.call_tool("run_space", {"prompt": "x"}))
        job_id = await held.began.get()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert (await client.result(job_id, wait=60)).state is JobState.CANCELLED


async def test_a_client_that_goes_away_leaves_its_job_and_finds_it_again(redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held):
        async with served(redis_url, "--wait", "1") as mcp:
            found = await mcp.call_tool("run_space", {"prompt": "x"})
            job_id = found.structured_content["id"]
            assert (text_of(found).startswith(f"job {job_id} has not ended"), found.is_error) == (True, False)
            lost = asyncio.create_task(mcp.call_tool("run_space", {"prompt": "y"}))
            await held.began.get()
            other = await held.began.get()
        await asyncio.gather(lost, return_exceptions=True)
        async with served(redis_url) as mcp:
            listed = (await mcp.call_tool("job_status", {})).structured_content["jobs"]
            assert {job["id"] for job in listed} >= {job_id}
            held.go.set()
            ended = await mcp.call_tool("job_status", {"job_id": job_id})
            assert ended.structured_content["state"] == "succeeded"
    assert other in held.runs
    assert held.stopped == []


class TaskResult(Result):
    """A task in place of an answer."""

    result_type: Literal["task"] = "task"
    task_id: str


class TaskState(Result):
    """What `tasks/get` gives."""

    status: str
    status_message: str | None = None
    result: dict[str, Any] | None = None


class GetTask(Request[GetTaskRequestParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: GetTaskRequestParams
    name_param = "taskId"


class CancelTask(Request[GetTaskRequestParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: GetTaskRequestParams
    name_param = "taskId"


async def task_of(session: ClientSession, task_id: str) -> TaskState:
    return await session.send_request(GetTask(params=GetTaskRequestParams(task_id=task_id)), TaskState)


class Tasks(ClientExtension):
    """The client's side of the extension, which the SDK leaves to others: it polls until the task ends."""

    identifier = TASKS

    def __init__(self) -> None:
        self.given: list[str] = []

    async def resolve(self, claimed: TaskResult, ctx: ClaimContext) -> CallToolResult:
        self.given.append(claimed.task_id)

        async def ended() -> bool:
            return (await task_of(ctx.session, claimed.task_id)).status != "working"

        await until(ended)
        state = await task_of(ctx.session, claimed.task_id)
        assert state.result is not None, state
        return CallToolResult.model_validate(state.result)

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=TaskResult, resolve=self.resolve)]


async def test_a_long_call_is_a_task_that_outlives_its_connection(redis_url: str, tmp_path: Path) -> None:
    held, tasks = Held(), Tasks()
    async with working(redis_url, held), opened(redis_url, tmp_path) as door:
        async with over_http(door, extensions=[tasks]) as mcp:
            claimed = await mcp.session.call_tool("run_space", {"prompt": "x"}, allow_claimed=True)
            assert isinstance(claimed, TaskResult)
            assert (await task_of(mcp.session, claimed.task_id)).status == "working"
        held.go.set()
        async with over_http(door, extensions=[tasks]) as mcp:
            found = await tasks.resolve(
                claimed, ClaimContext(session=mcp.session, tool_name="", read_timeout_seconds=None)
            )
            assert text_of(found).startswith("x")
            at_once = await mcp.call_tool("run_space", {"prompt": "y"})
            assert text_of(at_once).startswith("y")
    assert tasks.given == [claimed.task_id]


async def test_a_task_is_cancelled_and_one_that_nobody_knows_is_refused(redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held), here(redis_url, Limits(grace=1.0), extensions=[Tasks()]) as mcp:
        claimed = await mcp.session.call_tool("run_space", {"prompt": "x"}, allow_claimed=True)
        assert isinstance(claimed, TaskResult)
        params = GetTaskRequestParams(task_id=claimed.task_id)
        await mcp.session.send_request(CancelTask(params=params), Result)

        async def cancelled() -> bool:
            return (await task_of(mcp.session, claimed.task_id)).status == "cancelled"

        await until(cancelled)
        with pytest.raises(MCPError, match="no job nobody"):
            await task_of(mcp.session, "nobody")
    async with here(redis_url) as mcp:
        with pytest.raises(MCPError, match=f"declare {TASKS}"):
            await task_of(mcp.session, claimed.task_id)


def spaces_of(rows: Mapping[str, Any], endpoints: Mapping[str, Any]) -> ControlHandler:
    """A host with these Spaces; their endpoints are as hostile as an app can make them."""

    async def answer(call: Call, redis: Any, tell: OnProgress) -> Reply:
        if call.op is Op.LIST:
            return Reply(spaces=dict(rows))
        if call.name not in rows:
            return Reply(not_found=True)
        return Reply(spaces={call.name: rows[call.name]}, data={"endpoints": endpoints.get(call.name, [])})

    return answer


def row(**fields: Any) -> dict[str, Any]:
    return {
        "description": "It paints",
        "input_type": "text",
        "output_type": "image",
        "status": "available",
    } | fields


async def test_a_marked_space_is_a_tool_with_its_endpoints_own_inputs(redis_url: str) -> None:
    image = {"type": "string", "format": "uri", "contentMediaType": "image/*"}
    properties = {"Source image": image, "style": {"enum": ["oil", "ink"]}, "größe": {"type": "number"}}
    schema = {
        "type": "object",
        "properties": properties,
        "required": ["style"],
        "additionalProperties": False,
    }
    rows = {
        "painter": row(mcp=True),
        "quiet": row(),
        "away": row(mcp=True, status="broken"),
        "user/x.y": row(mcp=True),
    }
    sent: list[JobRequest] = []

    async def note(job: TakenJob, tell: Emit) -> JobResult:
        sent.append(job.request)
        return succeeded(job)

    endpoints = {"painter": [{"name": "/paint", "schema": schema, "outputs": ["image"]}]}
    async with working(redis_url, note, spaces_of(rows, endpoints)), here(redis_url) as mcp:
        tools = {tool.name: tool for tool in (await mcp.list_tools()).tools if tool.name.startswith("space_")}
        painter, other = tools["space_painter"], next(name for name in tools if name != "space_painter")
        assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in tools)
        assert list(painter.input_schema["properties"]) == ["Source_image", "style", "gr__e"]
        assert painter.input_schema["required"] == ["style"]
        uri = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
        found = await mcp.call_tool("space_painter", {"Source_image": uri, "style": "ink", "gr__e": 3})
        assert not found.is_error, text_of(found)
        missing = await mcp.call_tool("space_painter", {"Source_image": uri})
        assert "space_painter needs style" in text_of(missing)
        wrong = await mcp.call_tool("space_painter", {"style": "ink", "../x": 1})
        assert "has no input ../x; its inputs: Source_image, style, gr__e" in text_of(wrong)
        assert not (await mcp.call_tool(other, {"prompt": "hello"})).is_error
        told = (await mcp.call_tool("describe_space", {"space": "painter"})).structured_content
        assert told["endpoints"][0]["name"] == "/paint"
    assert (sent[0].space, sent[0].endpoint, sent[0].fallback) == ("painter", "/paint", "none")
    assert sent[0].inputs == {"Source image": "1-file.png", "style": "ink", "größe": 3}
    assert (sent[1].space, sent[1].prompt) == ("user/x.y", "hello")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_door_serves_either_era_of_the_protocol(redis_url: str, tmp_path: Path, mode: str) -> None:
    heard: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async def busy(job: TakenJob, tell: Emit) -> JobResult:
        tell(Stage.CALL, "painter", "step 1", None)
        return succeeded(job)

    async with (
        working(redis_url, busy),
        opened(redis_url, tmp_path) as door,
        over_http(door, mode=mode) as mcp,
    ):
        assert "run_space" in [tool.name for tool in (await mcp.list_tools()).tools]
        found = await mcp.call_tool("run_space", {"prompt": "hello"}, progress_callback=listen)
        assert text_of(found).startswith("hello")
        assert "painter: step 1" in heard
        (listed,) = (await mcp.call_tool("job_status", {})).structured_content["jobs"]
        assert listed["id"] == found.structured_content["id"]
        refused = await mcp.call_tool("run_space", {"files": ["/etc/passwd"]})
        assert "files are not read from there" in text_of(refused)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_is_cancelled_over_http_cancels_its_job(
    redis_url: str, tmp_path: Path, mode: str
) -> None:
    held = Held()
    async with (
        working(redis_url, held),
        Client(redis_url) as client,
        opened(redis_url, tmp_path) as door,
        over_http(door, mode=mode) as mcp,
    ):
        call = asyncio.create_task(mcp.call_tool("run_space", {"prompt": "x"}))
        job_id = await held.began.get()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert (await client.result(job_id, wait=60)).state is JobState.CANCELLED


async def test_the_door_that_closes_leaves_the_jobs_of_open_calls(redis_url: str, tmp_path: Path) -> None:
    held = Held()
    async with working(redis_url, held), Client(redis_url) as client:
        with suppress(ExceptionGroup):
            async with opened(redis_url, tmp_path) as door, over_http(door) as mcp:
                call = asyncio.create_task(mcp.call_tool("run_space", {"prompt": "x"}))
                job_id = await held.began.get()
                await door.server.stop()
                await asyncio.gather(call, return_exceptions=True)
        held.go.set()
        assert (await client.result(job_id, wait=60)).succeeded
    assert held.stopped == []


async def test_the_door_lets_nobody_in_whom_it_should_not(redis_url: str, tmp_path: Path) -> None:
    async with working(redis_url), opened(redis_url, tmp_path) as door, Client(redis_url) as client:
        reader = await client.tokens.create("reader", TokenScope.READ)
        other = await client.tokens.create("other", TokenScope.SUBMIT)
        info = {"name": "t", "version": "1"}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
        begin = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        ask = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}

        async def post(body: Any, **more: str) -> tuple[int, Mapping[str, str]]:
            named = {name.replace("_", "-"): value for name, value in more.items()}
            data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
            async with door.session.post("/mcp", data=data, headers=accept | named) as response:
                await response.read()
                return response.status, response.headers

        assert (await post(begin, Authorization=""))[0] == 401
        assert (await post(begin, Authorization=f"Bearer {reader}"))[0] == 403
        assert (await post(begin, Origin="https://evil.example"))[0] == 403
        assert (await post(begin, Host="evil.example"))[0] == 421
        status, headers = await post(begin)
        assert status == 200
        session = headers["Mcp-Session-Id"]
        assert (await post(ask, Mcp_Session_Id=session))[0] == 200
        # The session of one token is nothing to another.
        assert (await post(ask, Mcp_Session_Id=session, Authorization=f"Bearer {other}"))[0] == 404
        assert (await post(ask, Mcp_Session_Id="0" * 32))[0] == 404
        assert (await post(b"x" * (MAX_BODY + 1)))[0] == 413
        assert (await post(b"[" * 100_000))[0] == 413
        half = b'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"\\ud800"}}'
        for rubbish in (half, b"", b"{", b"[]", b"null", b'{"jsonrpc":"2.0"}', b"\xff\xfe", b"[" * 40_000):
            assert 400 <= (await post(rubbish))[0] < 500, rubbish
        assert (await post(begin))[0] == 200


async def test_a_queue_that_is_away_is_told_without_its_address_over_http(
    own_valkey: Server, tmp_path: Path
) -> None:
    async with opened(own_valkey.url, tmp_path) as door, over_http(door) as mcp:
        await mcp.list_tools()
        own_valkey.stop()
        found = await mcp.call_tool("run_space", {"prompt": "x"})
        with pytest.raises(MCPError, match="the queue cannot be reached now"):
            await mcp.read_resource("spacedock://files/" + "0" * 64)
        assert (found.is_error, text_of(found)[:36]) == (True, "the queue cannot be reached now: try")
        assert "run_space" in [tool.name for tool in (await mcp.list_tools()).tools]


async def test_without_a_worker_the_tools_say_so(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "CALL_SECONDS", 1)
    async with here(redis_url) as mcp:
        assert (await mcp.list_tools()).tools[0].name == "run_space"
        found = await mcp.call_tool("find_space", {"query": "x"})
        assert "no worker answered within 1 s. Is `spacedockd` running?" in text_of(found)


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may stop."""
    (tmp_path / "v").mkdir()
    server = Server(server_binary(), tmp_path / "v")
    server.start()
    yield server
    server.stop()
