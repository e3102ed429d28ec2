"""What an image registry answers is bounded by what reading it costs: a stand-in for hostile ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from spacedock_worker.images.oci.client import NotAskedError, asking
from spacedock_worker.images.oci.manifest import Platform
from spacedock_worker.images.oci.reference import Reference, parse_reference


@asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[Reference]:
    """An image at a registry that answers everything with this."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield parse_reference(f"127.0.0.1:{runner.addresses[0][1]}/own/image")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"layers":[' + b"[]," * 25_000 + b"[]]}", "too many lists and objects"),
        (b" " * (2**20 + 1), "more than 1,048,576 bytes"),
    ],
)
async def test_an_answer_that_costs_too_much_is_none(body: bytes, why: str) -> None:
    async with answering(body) as reference, asking(reference, None, None, 20.0) as registry:
        with pytest.raises(NotAskedError, match=why):
            await registry.manifest("latest", Platform())
