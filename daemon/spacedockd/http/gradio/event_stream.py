"""An answer of server-sent events, as gradio_client and `curl` read them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import web

_HEADERS = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
_BEAT_SECONDS = 15.0
_STOPPED = "Server stopped unexpectedly."


class EventStream:
    """Sends events until its handler returns, and a heartbeat while there are none."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    @classmethod
    async def begun(cls, request: web.Request) -> Self:
        """Begin the answer."""
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        return cls(response)

    async def send(self, data: Any, event: str | None = None) -> None:
        """Send one event. Raises ConnectionError where the client has hung up."""
        head = f"event: {event}\n" if event else ""
        await self.response.write(f"{head}data: {json.dumps(data)}\n\n".encode())

    @asynccontextmanager
    async def beating(self, closing: asyncio.Event) -> AsyncIterator[None]:
        """Send heartbeats within the block, which ends with the daemon: `closing` is set then.

        Raises ConnectionResetError also where a task of the block finds that the client has hung up.
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
