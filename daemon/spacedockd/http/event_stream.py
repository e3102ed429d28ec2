"""An answer of server-sent events: the queue's own, OpenAI's chunks, and Gradio's messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Self

from aiohttp import web

from spacedockd.http.errors import HttpError
from spacedockd.http.intake import Intake

EVENTS = "text/event-stream"
QUIET = b": quiet\n\n"
"""What is sent where nothing happens, so that nobody on the way takes the connection for dead."""

_BEAT_SECONDS = 15.0
_STOPPED = "Server stopped unexpectedly."
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class EventStream:
    """Sends events until its handler returns. A client that does not read them is cut off."""

    def __init__(self, intake: Intake, response: web.StreamResponse) -> None:
        self._intake, self.response = intake, response

    @classmethod
    async def begun(
        cls, intake: Intake, request: web.Request, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Self:
        """Begin the answer."""
        # Proxies that collect an answer before they send it on are told not to.
        response = web.StreamResponse(headers={"Content-Type": EVENTS, "X-Accel-Buffering": "no", **headers})
        await response.prepare(request)
        return cls(intake, response)

    async def write(self, raw: bytes) -> None:
        """Send bytes. Raises ConnectionError where the client has hung up, HttpError where it is too slow."""
        await self._intake.sent(self.response.write(raw))

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
            found: Exception | None = group.subgroup((ConnectionError, HttpError))
            while isinstance(found, ExceptionGroup):
                found = found.exceptions[0]
            if found is None:
                raise
            raise found from group

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
