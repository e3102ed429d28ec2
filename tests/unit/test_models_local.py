"""Finding model servers at their usual addresses: real HTTP servers on ephemeral ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from spacedock.request import Tier
from spacedock_worker.models import local
from spacedock_worker.models.local import KEEP_SECONDS, USUAL, LocalAddress, LocalModels

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """A server whose every path is this handler; gives its base URL."""
    app = web.Application()
    app.router.add_get("/v1/models", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def lists(*names: str, calls: list[str] | None = None) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        if calls is not None:
            calls.append(request.path)
        data = [{"id": name, "object": "model"} for name in names]
        return web.json_response({"object": "list", "data": data})

    return handler


def answers(body: Any, status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return handler


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 2**16)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other tests, a server may take longer to answer."""
    monkeypatch.setattr(local, "LOOK_SECONDS", 3.0)


async def test_what_answers_is_found_in_order(stack: AsyncExitStack) -> None:
    runner = await stack.enter_async_context(listening(lists("ai/gemma3", "ai/smollm3:latest")))
    ollama = await stack.enter_async_context(listening(lists("nomic-embed-text:latest", "llama3.2:1b")))
    found = await LocalModels(
        (LocalAddress("docker-model-runner", runner, ("ai/smollm3",)), LocalAddress("ollama", ollama))
    ).endpoints()
    assert [(e.name, e.model, e.tier) for e in found] == [
        ("docker-model-runner", "ai/smollm3:latest", Tier.FAST),
        ("ollama", "llama3.2:1b", Tier.FAST),
    ]


@pytest.mark.parametrize(
    "handler",
    [
        lists(),
        answers({"models": ["tiny"]}),
        answers("welcome"),
        answers({"object": "list", "data": [{"id": "tiny"}]}, status=401),
        hangs,
        endless,
    ],
)
async def test_what_is_no_model_server_is_left_out(stack: AsyncExitStack, handler: Handler) -> None:
    url = await stack.enter_async_context(listening(handler))
    assert await LocalModels((LocalAddress("other", url),)).endpoints() == ()


async def test_nothing_listening_is_nothing_found(stack: AsyncExitStack) -> None:
    async with listening(lists("tiny")) as url:
        pass
    assert await LocalModels((LocalAddress("gone", url),)).endpoints() == ()


async def test_a_look_is_remembered_for_a_while(stack: AsyncExitStack) -> None:
    calls: list[str] = []
    url = await stack.enter_async_context(listening(lists("tiny", calls=calls)))
    now = 0.0
    local = LocalModels((LocalAddress("one", url),), clock=lambda: now)
    await asyncio.gather(*(local.endpoints() for _ in range(4)))
    assert len(calls) == 1
    now += KEEP_SECONDS
    await local.endpoints()
    assert len(calls) == 2


def test_the_usual_addresses_are_on_this_machine() -> None:
    assert [a.base_url for a in USUAL] == [
        "http://localhost:12434/engines/v1",
        "http://localhost:11434/v1",
        "http://localhost:8080/v1",
    ]
