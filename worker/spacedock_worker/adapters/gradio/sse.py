"""Server-sent events out of a stream of bytes, bounded; does no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spacedock_worker.adapters.faults import bad_output
from spacedock_worker.adapters.http import STREAM_FACTOR, parsed


class EventBuffer:
    """Collects chunks and gives the JSON of each complete event's `data`.

    One event may have `max_bytes`, the whole stream 16 times that; over either, and where an event is not
    JSON, `feed` raises StepError of kind `bad_output`.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._total = 0
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """The events that `chunk` completes, in order; those before a broken one come before its error."""
        self._total += len(chunk)
        if self._total > STREAM_FACTOR * self._max:
            raise bad_output(f"the app streamed over {STREAM_FACTOR * self._max / 2**20:.0f} MB")
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._extend(end)
            event = self._take(bytes(self._line).rstrip(b"\r"))
            self._line.clear()
            if event is not None:
                yield parsed(event)
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
