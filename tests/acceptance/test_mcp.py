"""MCP with real Spaces in containers: the examples of docs/mcp.md, started and spoken to as clients do."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ImageContent, ResourceLink, TextContent
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import BIN, SPACES, Daemon

from spacedock.client import Client as SpacedockClient
from spacedock.configuration import http_address
from spacedock.result import Stage

PAGE = (Path(__file__).parents[2] / "docs/mcp.md").read_text(encoding="utf-8")
STDIO, OVER_HTTP, WITH_FOLDER = (
    json.loads(text)["mcpServers"]["spacedock"] for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
)


@pytest.fixture(scope="module")
def tools(make_daemon: StartDaemon) -> Daemon:
    """A daemon whose Spaces are tools."""
    daemon = make_daemon()
    for name, takes, gives in (
        ("sentiment", "text", "text"),
        ("picture", "text", "image"),
    ):
        fields = {"repository": str(SPACES / name), "input_type": takes, "output_type": gives, "mcp": True}
        daemon.declare(name, {**fields, "description": f"The Space {name}", "category": name})
    marked = daemon.spacedock("spaces", "update", "echo-file", "--mcp")
    assert (marked.code, marked.err) == (0, "updated echo-file (mcp)\n")
    return daemon


@asynccontextmanager
async def client_of(daemon: Daemon, config: dict[str, Any], *more: str) -> AsyncIterator[Client]:
    """A client that was given this configuration."""
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url, "PATH": f"{BIN}:{os.environ['PATH']}"}
    parameters = StdioServerParameters(command=config["command"], args=[*config["args"], *more], env=env)
    async with Client(parameters) as client:
        yield client


@asynccontextmanager
async def client_over_http(daemon: Daemon, config: dict[str, Any]) -> AsyncIterator[Client]:
    """The same for a configuration that names an address."""
    at = http_address({"SPACEDOCK_RUNTIME_DIR": f"{daemon.folder}/run"}, os.getuid())
    headers = {
        name: value.replace("TOKEN", at.token.read_text().strip())
        for name, value in config["headers"].items()
    }
    url = config["url"].replace("http://127.0.0.1:7788", at.url)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def schemas(client: Client) -> dict[str, dict[str, Any]]:
    return {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}


async def test_a_marked_space_is_a_tool_whose_inputs_are_known_once_it_ran(tools: Daemon) -> None:
    async with client_of(tools, STDIO) as client:
        assert list((await schemas(client))["space_sentiment"]["properties"]) == ["prompt", "files"]
        first = await client.call_tool("space_sentiment", {"prompt": "I love this chair."})
        assert text_of(first).startswith("positive"), text_of(first)
        assert (await schemas(client))["space_sentiment"] == {
            "type": "object",
            "properties": {"text": {"type": "string", "title": "Text"}},
            "required": ["text"],
            "additionalProperties": False,
        }
        again = await client.call_tool("space_sentiment", {"text": "It broke on the first day. Horrible."})
        assert text_of(again).startswith("negative"), text_of(again)
        assert again.structured_content["answered_by"]["endpoint"] == "/analyze"
        found = await client.call_tool("find_space", {"query": "sentiment of a review"})
        assert "sentiment" in text_of(found)


async def test_a_picture_comes_as_one_over_http(tools: Daemon) -> None:
    async with client_over_http(tools, OVER_HTTP) as client:
        found = await client.call_tool("run_space", {"prompt": "a cat", "space": "picture"})
        (picture,) = [block for block in found.content if isinstance(block, ImageContent)]
        assert base64.b64decode(picture.data).startswith(b"\x89PNG")
        (link,) = [block for block in found.content if isinstance(block, ResourceLink)]
        read = (await client.read_resource(link.uri)).contents[0]
        assert read.blob == picture.data


async def test_files_go_in_by_path_or_content_and_come_out_as_resources(
    tools: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("hello")
    config = {
        **WITH_FOLDER,
        "args": [arg.replace("/home/ada/pictures", str(tmp_path)) for arg in WITH_FOLDER["args"]],
    }
    async with client_of(tools, config) as client:
        for uri in (
            str(tmp_path / "note.txt"),
            "data:text/plain;base64," + base64.b64encode(b"hello").decode(),
        ):
            found = await client.call_tool("run_space", {"space": "echo-file", "files": [uri]})
            (link,) = [block for block in found.content if isinstance(block, ResourceLink)]
            shown = await client.call_tool("get_file", {"uri": link.uri})
            assert text_of(shown) == "HELLO"
        (name,) = (await schemas(client))["space_echo-file"]["required"]
        sent_on = await client.call_tool("space_echo-file", {name: link.uri})
        assert not sent_on.is_error, text_of(sent_on)


async def test_the_answer_of_a_call_whose_daemon_was_killed_is_found_afterwards(tools: Daemon) -> None:
    async def call() -> None:
        async with client_over_http(tools, OVER_HTTP) as client:
            await client.call_tool("run_space", {"prompt": "The food was wonderful.", "space": "mood"})

    waiting = asyncio.create_task(call())
    async with SpacedockClient(tools.url) as queue, aclosing(queue.events(after=0)) as events:
        # It runs, and cannot have ended: the Space's container starts only now.
        begun = (event.job_id async for event in events if (event.name, event.stage) == ("mood", Stage.READY))
        job_id = await anext(begun)
    await asyncio.to_thread(tools.stop, signal.SIGKILL)
    with suppress(ExceptionGroup):
        await waiting
    await asyncio.to_thread(tools.start)
    async with client_over_http(tools, OVER_HTTP) as client:
        jobs = (await client.call_tool("job_status", {})).structured_content["jobs"]
        assert jobs[0]["id"] == job_id
        found = await client.call_tool("job_status", {"job_id": job_id})
        assert found.structured_content["answered_by"]["name"] == "mood", text_of(found)
