"""The queue's events for many listeners at once: the door reads them from Redis once, whoever listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

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
