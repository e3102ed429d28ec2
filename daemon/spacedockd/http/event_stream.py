"""An answer of server-sent events: the queue's own, OpenAI's chunks, and Gradio's messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Self

from aiohttp import web

EVENTS = "text/event-stream"
QUIET = b": quiet\n\n"
"""What is sent where nothing happens, so that nobody on the way takes the connection for dead."""

_BEAT_SECONDS = 15.0
_STOPPED = "Server stopped unexpectedly."
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EventStream:
    """Sends events until its handler returns; the connection cuts a client off that does not read them."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    @classmethod
    async def begun(cls, request: web.Request, headers: Mapping[str, str] = _NO_HEADERS) -> Self:
        """Begin the answer."""
        # Proxies that collect an answer before they send it on are told not to.
        response = web.StreamResponse(headers={"Content-Type": EVENTS, "X-Accel-Buffering": "no", **headers})
        await response.prepare(request)
        return cls(response)

    async def write(self, raw: bytes) -> None:
        """Send bytes. Raises ConnectionError where the client has hung up, or was cut off."""
        await self.response.write(raw)

    async def send(self, data: Any, event: str | None = None) -> None:
        """Send one event, whose data is JSON. Raises as `write` does."""
        head = f"event: {event}\n" if event else ""
        await self.write(f"{head}data: {json.dumps(data)}\n\n".encode())

    @asynccontextmanager
    async def beating(self, closing: asyncio.Event) -> AsyncIterator[None]:
        """Send heartbeats of Gradio within the block, which ends with the daemon: `closing` is set then.

        Raises as `write` does also where a task of the block has found it out.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                beat = tasks.create_task(self._beat(closing))
                yield
                beat.cancel()
        except ExceptionGroup as group:
            if group.subgroup(ConnectionError):
                raise ConnectionResetError from group
            raise

    async def _beat(self, closing: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(_BEAT_SECONDS):
                    await closing.wait()
            except TimeoutError:
                await self.send({"msg": "heartbeat"})
            else:
                await self.send({"msg": _STOPPED, "message": _STOPPED, "event_id": None})
                raise ConnectionResetError(_STOPPED)
