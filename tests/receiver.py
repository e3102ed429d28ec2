"""A real receiver of webhooks on loopback: it verifies what comes as the standardwebhooks package does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook


@dataclass
class Receiver:
    """Where it is, and what came. It answers with `answers` in turn, then 204; None: not at all."""

    url: str = ""
    answers: list[int | None] = field(default_factory=list)
    came: asyncio.Queue[tuple[Mapping[str, str], str]] = field(default_factory=asyncio.Queue)

    async def answer(self, request: web.Request) -> web.Response:
        self.came.put_nowait((dict(request.headers), await request.text()))
        status = self.answers.pop(0) if self.answers else 204
        if status is None:
            await asyncio.sleep(3600)
        return web.Response(status=status or 204, headers={"Location": self.url})

    async def next(self, secret: str) -> dict[str, Any]:
        """The next webhook, verified."""
        async with asyncio.timeout(60):
            headers, body = await self.came.get()
        told: dict[str, Any] = Webhook(secret).verify(body, dict(headers))
        assert told["id"] == {name.lower(): value for name, value in headers.items()}["webhook-id"]
        return told


@asynccontextmanager
async def receiving(*answers: int | None) -> AsyncIterator[Receiver]:
    """A receiver until the block ends."""
    receiver = Receiver(answers=list(answers))
    app = web.Application()
    app.router.add_post("/hook", receiver.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
