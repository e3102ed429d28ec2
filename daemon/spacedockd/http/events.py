"""The queue's events, read from Redis once whoever listens, and answers of server-sent events of any kind."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from aiohttp import web

from spacedock.client import Client
from spacedock.events import Event

QUIET_SECONDS = 15.0
_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Heard:
    """An event, and the bytes by which server-sent events tell it."""

    event: Event
    frame: bytes


def told(event: Event) -> Heard:
    """The event with its bytes, which are made once for all listeners."""
    kind = "missed" if event.missed else "job"
    text = f"id: {event.id}\nevent: {kind}\ndata: {event.model_dump_json()}\n\n"
    return Heard(event, text.encode())


class EventHub:
    """Follows the stream while somebody listens, and keeps the last events for who falls behind a little."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ring: deque[Heard] = deque()
        self._count = self._last = self._listeners = 0
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._closed = False

    def close(self) -> None:
        """End what everybody follows."""
        self._closed = True
        self._changed.set()

    async def follow(self, after: int | None) -> AsyncGenerator[Heard | None]:
        """Yield the events after that number (None: from now on) as they come, and None while it is quiet.

        Raises as `Client.events` does.
        """
        self._listeners += 1
        try:
            await self._start()
            after = self._last if after is None else await self._known(after)
            while not self._closed:
                place, upto = self._place(after), self._last
                if place is None:
                    # Longer ago than the ring: who is that far behind reads by himself once.
                    async with aclosing(self._client.events(after=after)) as events:
                        async for event in events:
                            yield told(event)
                            after = event.id
                            if after >= upto or self._closed:
                                break
                    continue
                async with aclosing(self._from(place)) as rows:
                    async for row in rows:
                        after = row.event.id if row else after
                        yield row
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._stop()

    async def _from(self, place: int) -> AsyncGenerator[Heard | None]:
        """Yield from that place in the ring on, until the ring has gone past it, or another reading began."""
        ring = self._ring
        while ring is self._ring and not self._closed:
            if (index := place - self._count + len(ring)) < 0:
                return
            if index < len(ring):
                place += 1
                yield ring[index]
            elif not await self._waited():
                yield None

    async def _waited(self) -> bool:
        """Wait for another event; False where it is quiet."""
        if self._reading is not None and self._reading.done():
            self._reading.result()
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _place(self, after: int) -> int | None:
        """Where in all that was read the first event after that number stands; None if no longer kept."""
        if after >= self._last:
            return self._count
        if not self._ring or self._ring[0].event.id > after + 1:
            return None
        newer = sum(1 for row in self._ring if row.event.id > after)
        return self._count - newer

    async def _known(self, after: int) -> int:
        """The number, or 0 where the queue has none so high: it was emptied since."""
        return after if after <= self._last or after <= await self._client.last_event() else 0

    async def _start(self) -> None:
        async with self._starting:
            if self._reading is None or self._reading.done():
                self._ring = deque(maxlen=_KEPT)
                self._last = await self._client.last_event()
                self._changed = asyncio.Event()
                self._reading = asyncio.create_task(self._read(self._last))

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def _read(self, last: int) -> None:
        try:
            async with aclosing(self._client.events(after=last)) as events:
                async for event in events:
                    self._ring.append(told(event))
                    self._count, self._last = self._count + 1, event.id
                    self._stir()
        finally:
            self._stir()

    def _stir(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


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
