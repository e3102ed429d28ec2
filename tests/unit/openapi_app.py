"""A local server that answers as it is told and keeps what it was asked, and the adapter connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from spacedock.files import payload_of
from spacedock_worker.adapters.base import AnswerLimits, AppAnswer, AppCall
from spacedock_worker.adapters.http import AppHttp
from spacedock_worker.adapters.openapi.adapter import OpenApiAdapter
from spacedock_worker.adapters.openapi.template import Template
from spacedock_worker.errors import StepError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
CAT = payload_of("my cät.png", PNG)
TEXT = {"type": "string"}


def api(
    *fields: tuple[str, Any], media: str = "application/json", path: str = "/do", **more: Any
) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": dict(fields),
        "required": [n for n, s in fields if "default" not in s],
    }
    post = {"requestBody": {"required": True, "content": {media: {"schema": schema}}}} | more
    return {"openapi": "3.1.0", "paths": {path: {"post": post}}}


SAY = api(("text", TEXT))


@dataclass
class App:
    """What the server answers, one after another (the last for ever), and what it was asked."""

    answers: list[web.Response]
    asked: list[tuple[str, str, bytes, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fields: Any = None
        body = b""
        if request.content_type == "multipart/form-data":
            fields = [
                (part.name, part.filename, bytes(await part.read()))
                async for part in await request.multipart()
            ]
        else:
            body = await request.read()
        self.asked.append((request.method, request.raw_path, body, fields))
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)


@asynccontextmanager
async def connected(
    app: App, document: Any = SAY, template: Template | None = None, **limits: int
) -> AsyncIterator[OpenApiAdapter]:
    server = web.Application(client_max_size=2**24)
    server.router.add_route("*", "/{path:.*}", app.handle)
    runner = web.AppRunner(server, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    http = AppHttp(f"http://127.0.0.1:{runner.addresses[0][1]}")
    adapter = OpenApiAdapter(http, document, template, AnswerLimits(**limits))
    try:
        yield adapter
    finally:
        await adapter.aclose()
        await adapter.aclose()
        await runner.cleanup()


async def ask(
    told: Any,
    document: Any = SAY,
    call: AppCall | None = None,
    template: Template | None = None,
    **limits: int,
) -> AppAnswer:
    response = told if isinstance(told, web.Response) else web.json_response(told)
    async with connected(App([response]), document, template, **limits) as app:
        return await app.call(call or AppCall("hi"), lambda message, partial=None: None)


async def sent(
    document: Any, call: AppCall | None = None, template: Template | None = None
) -> tuple[str, str, bytes, Any]:
    app = App([web.json_response("ok")])
    async with connected(app, document, template) as running:
        await running.call(call or AppCall("hi"), lambda message, partial=None: None)
    return app.asked[0]


async def failure(told: Any, **more: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        await ask(told, **more)
    return caught.value
