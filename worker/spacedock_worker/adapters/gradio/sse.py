"""Server-sent events out of a stream of bytes, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import aiohttp

from spacedock_worker.adapters import offload
from spacedock_worker.adapters.faults import bad_output
from spacedock_worker.adapters.http import STREAM_FACTOR, parsed

MAX_LINES = 500_000
_SLICE = 2**14


async def events_of(stream: aiohttp.ClientResponse, max_bytes: int) -> AsyncGenerator[Any, None]:
    """The JSON of each event's `data`; see EventBuffer for the limits.

    Raises StepError of kind `bad_output` over the limits, and where an event is not JSON.
    """
    events = EventBuffer(max_bytes)
    async for chunk in stream.content.iter_any():
        for start in range(0, len(chunk), _SLICE):
            for event in events.feed(chunk[start : start + _SLICE]):
                yield await offload.read(parsed, event)
            # A chunk may hold thousands of events: others have their turn between.
            await asyncio.sleep(0)


class EventBuffer:
    """Collects chunks and gives the `data` of each complete event; does no I/O.

    One event may have `max_bytes`, the whole stream 16 times that and 500,000 lines; over these `feed` raises
    StepError of kind `bad_output`.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._total = self._lines = 0
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The events that `chunk` completes, in order; those before a broken one come before its error."""
        self._total += len(chunk)
        if self._total > STREAM_FACTOR * self._max:
            raise bad_output(f"the app streamed over {STREAM_FACTOR * self._max / 2**20:.0f} MB")
        *ends, rest = chunk.split(b"\n")
        self._lines += len(ends)
        if self._lines > MAX_LINES:
            raise bad_output(f"the app streamed over {MAX_LINES:,} lines")
        for end in ends:
            self._extend(end)
            event = self._take(bytes(self._line).rstrip(b"\r"))
            self._line.clear()
            if event is not None:
                yield event
        self._extend(rest)

    def _extend(self, part: bytes) -> None:
        self._line += part
        if len(self._line) + self._size > self._max:
            raise bad_output(f"the app's answer is over the limit of {self._max / 2**20:.0f} MB")

    def _take(self, line: bytes) -> bytes | None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._size += len(line)
            return None
        if line or not self._data:
            return None
        event = b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return event
