"""Calling a Gradio function through the app's queue: what all ways have in common, websocket, and SSE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from spacedock_worker.adapters import offload
from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.faults import app_error, bad_input, bad_output, crashed, unexplained
from spacedock_worker.adapters.gradio.events import AppQueueFullError, Follower
from spacedock_worker.adapters.http import STREAM_FACTOR, AppHttp, AppRefusedError
from spacedock_worker.errors import StepError

SMALL_ANSWER_BYTES = 2**20
FULL_QUEUE_WAITS = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Posting:
    """One call of a function, `data` by position, in a session of its own; `batched` as a batch of one."""

    fn_index: int
    data: Sequence[Any]
    session: str
    batched: bool = False

    @property
    def body(self) -> dict[str, Any]:
        """The call as JSON, as every version takes it."""
        data = [[value] for value in self.data] if self.batched else list(self.data)
        batched = {"batched": True} if self.batched else {}
        return {"data": data, "fn_index": self.fn_index, "session_hash": self.session, **batched}


class Transport(Protocol):
    """One way to call a function of the app and wait for its whole output."""

    async def call(self, posting: Posting, follower: Follower) -> list[Any]:
        """The outputs by position. Raises QueueFullError, StepError (`app_error`, `crashed`, `bad_output`).

        Cancelled, it has the app stop where the app can, and notes in `follower.stopped` that it did.
        """
        ...


async def call_patiently(
    transport: Transport, posting: Posting, follower: Follower, waits: Sequence[float] = FULL_QUEUE_WAITS
) -> list[Any]:
    """Call, and call again after each of `waits` (seconds) while the app's queue is full."""
    for wait in waits:
        try:
            return await transport.call(posting, follower)
        except AppQueueFullError:
            follower.on_progress("the app's queue is full")
            await asyncio.sleep(wait)
    try:
        return await transport.call(posting, follower)
    except AppQueueFullError as error:
        raise app_error("the app's queue is full: try again later") from error


def refusal(error: AppRefusedError) -> Exception:
    """An HTTP error where the app was to take a call."""
    if error.status == 503 and "full" in error.detail.lower():
        return AppQueueFullError()
    if error.status == 422 and (faults := _faults(error.told)):
        return bad_input(f"the app does not take {'; '.join(faults)}")
    if error.status >= 500 and not error.detail:
        return unexplained(f"the app refused the call ({error})")
    return app_error(f"the app refused the call ({error})")


def _faults(told: Any) -> list[str]:
    """What the validators of Gradio 6 say of each input, as "age: Too young"."""
    rows = told.get("detail") if isinstance(told, dict) else told
    faults = []
    for row in rows if isinstance(rows, list) else ():
        match row:
            case {"is_valid": False, "message": str(message)}:
                name = row.get("parameter_name")
                faults.append(f"{name}: {message}" if isinstance(name, str) else message)
    return faults


class _Way:
    """A way to the app, whose routes begin with `prefix`; a message of it may have `max_bytes`."""

    def __init__(self, http: AppHttp, prefix: str, max_bytes: int) -> None:
        self._http, self._prefix, self._max = http, prefix, max_bytes


class WebSocketQueue(_Way):
    """The protocol of Gradio 3, which its `/config` does not name."""

    async def call(self, posting: Posting, follower: Follower) -> list[Any]:
        """See `Transport.call`."""
        try:
            async with self._http.websocket(f"{self._prefix}/queue/join", self._max) as socket:
                async for message in socket:
                    match message:
                        case {"msg": "send_hash"}:
                            await socket.send({"fn_index": posting.fn_index, "session_hash": posting.session})
                        case {"msg": "send_data"}:
                            await socket.send(posting.body)
                        case _ if (outputs := follower.hear(message)) is not None:
                            return outputs
        except AppRefusedError as error:
            raise refusal(error) from error
        except asyncio.CancelledError:
            # A generator ends where its next part finds nobody; nothing else does.
            follower.stopped = follower.lively
            raise
        raise crashed("the app ended the connection before it answered")


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


CANCEL_SECONDS = 2.0


class SseQueue(_Way):
    """The protocols sse_v1 to sse_v3."""

    async def call(self, posting: Posting, follower: Follower) -> list[Any]:
        """See `Transport.call`."""
        try:
            event_id = await self._join(posting)
        except asyncio.CancelledError:
            # The app may have taken the call, and nobody knows its id.
            follower.started = True
            raise
        try:
            return await self._follow(posting, event_id, follower)
        except AppRefusedError as error:
            raise crashed(f"the app's queue lost the call ({error})") from error
        except asyncio.CancelledError:
            await self._cancel(posting, event_id, follower)
            raise

    async def _join(self, posting: Posting) -> str:
        try:
            joined = await self._http.post_json(
                f"{self._prefix}/queue/join", posting.body, SMALL_ANSWER_BYTES
            )
        except AppRefusedError as error:
            raise refusal(error) from error
        event_id = joined.get("event_id") if isinstance(joined, dict) else None
        if not isinstance(event_id, str):
            raise bad_output("the app's queue took the call without giving it an id")
        return event_id

    async def _follow(self, posting: Posting, event_id: str, follower: Follower) -> list[Any]:
        path, session = f"{self._prefix}/queue/data", {"session_hash": posting.session}
        fed = True
        async with (
            self._http.request("GET", path, params=session, patient=True) as stream,
            aclosing(events_of(stream, self._max)) as events,
        ):
            async for event in events:
                if isinstance(event, dict) and event.get("event_id") not in (event_id, None):
                    continue
                if (outputs := follower.hear(event)) is not None:
                    return outputs
                if fed and isinstance(event, dict) and event.get("msg") == "process_streaming":
                    # A microphone or camera would send its next part; the app waits for it, up to 30 s.
                    fed = False
                    await self._end_of_input(event_id)
        raise crashed("the app ended the connection before it answered")

    async def _end_of_input(self, event_id: str) -> None:
        with suppress(AppRefusedError):
            await self._http.post_json(f"{self._prefix}/stream/{event_id}/close", {}, SMALL_ANSWER_BYTES)

    async def _cancel(self, posting: Posting, event_id: str, follower: Follower) -> None:
        """Take the call out of the app's queue, or end its generator. Bounded, never raises.

        An app stops between two parts of an answer only: one that has not sent any may compute for long.
        """
        body = {"session_hash": posting.session, "fn_index": posting.fn_index, "event_id": event_id}
        with suppress(StepError, AppRefusedError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._http.post_json(f"{self._prefix}/cancel", body, SMALL_ANSWER_BYTES)
            follower.stopped = follower.lively


class SseStream(_Way):
    """The protocol sse."""

    async def call(self, posting: Posting, follower: Follower) -> list[Any]:
        """See `Transport.call`."""
        joining = {"fn_index": str(posting.fn_index), "session_hash": posting.session}
        path = f"{self._prefix}/queue/join"
        try:
            async with (
                self._http.request("GET", path, params=joining, patient=True) as stream,
                aclosing(events_of(stream, self._max)) as events,
            ):
                async for event in events:
                    if isinstance(event, dict) and event.get("msg") == "send_data":
                        await self._send(posting, event.get("event_id"))
                    elif (outputs := follower.hear(event)) is not None:
                        return outputs
        except AppRefusedError as error:
            raise refusal(error) from error
        except asyncio.CancelledError:
            # A generator ends where its next part finds nobody; nothing else does.
            follower.stopped = follower.lively
            raise
        raise crashed("the app ended the connection before it answered")

    async def _send(self, posting: Posting, event_id: object) -> None:
        body = {**posting.body, "event_id": event_id}
        try:
            await self._http.post_json(f"{self._prefix}/queue/data", body, SMALL_ANSWER_BYTES)
        except AppRefusedError as error:
            raise app_error(f"the app refused the call ({error})") from error
