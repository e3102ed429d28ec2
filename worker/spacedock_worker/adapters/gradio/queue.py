"""Gradio's queue: put a call in, follow it, bring back its output; a transport for each protocol."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from spacedock_worker.adapters.base import OnProgress
from spacedock_worker.adapters.gradio.description import App
from spacedock_worker.adapters.gradio.faults import app_error, bad_output, crashed, shortened, unsupported
from spacedock_worker.adapters.gradio.http import AppHttp, RefusedError
from spacedock_worker.adapters.gradio.sse import EventBuffer

FULL_QUEUE_WAITS = (1.0, 2.0, 4.0, 8.0)
SMALL_ANSWER_BYTES = 2**20
PROGRESS_CHARACTERS = 200
NO_REASON = "The app failed without saying why; see its log"


class Transport(Protocol):
    """One way to call a function of the app and wait for its whole output."""

    async def call(self, fn_index: int, data: Sequence[Any], on_progress: OnProgress) -> list[Any]:
        """The outputs by position. Raises StepError (`app_error`, `crashed`, `bad_output`)."""
        ...


TransportMaker = Callable[[AppHttp, str, int], Transport]


class SseQueue:
    """The queue of Gradio 4.9 and later (protocols sse_v1 to sse_v3): POST to join, one stream to follow.

    `waits` are the seconds between tries while the app's queue is full.
    """

    def __init__(
        self, http: AppHttp, prefix: str, max_bytes: int, waits: Sequence[float] = FULL_QUEUE_WAITS
    ) -> None:
        self._http, self._prefix, self._max, self._waits = http, prefix, max_bytes, waits

    async def call(self, fn_index: int, data: Sequence[Any], on_progress: OnProgress) -> list[Any]:
        """See `Transport.call`."""
        session = uuid.uuid4().hex
        body = {"data": list(data), "fn_index": fn_index, "session_hash": session}
        event_id = await self._join(body, on_progress)
        try:
            return await self._follow(session, event_id, on_progress)
        except RefusedError as error:
            raise crashed(f"the app's queue lost the call ({error}): see the container's log") from error

    async def _join(self, body: dict[str, Any], on_progress: OnProgress) -> str:
        for wait in (*self._waits, None):
            try:
                joined = await self._http.post_json(f"{self._prefix}/queue/join", body, SMALL_ANSWER_BYTES)
            except RefusedError as error:
                if error.status != 503 or "full" not in error.detail.lower() or wait is None:
                    raise _refusal(error) from error
                on_progress("the app's queue is full")
                await asyncio.sleep(wait)
            else:
                break
        event_id = joined.get("event_id") if isinstance(joined, dict) else None
        if not isinstance(event_id, str):
            raise bad_output("the app's queue took the call without giving it an id")
        return event_id

    async def _follow(self, session: str, event_id: str, on_progress: OnProgress) -> list[Any]:
        events, progress = EventBuffer(self._max), _Progress(on_progress)
        path = f"{self._prefix}/queue/data"
        async with self._http.request("GET", path, params={"session_hash": session}) as stream:
            async for chunk in stream.content.iter_any():
                for event in events.feed(chunk):
                    if not isinstance(event, dict):
                        raise bad_output("the app's queue sent an event that is not Gradio's")
                    if event.get("event_id") in (event_id, None) and _is_last(event):
                        return _outputs(event)
                    progress.tell(event)
        raise crashed("the app ended the connection before it answered: see the container's log")


TRANSPORTS: dict[str, TransportMaker] = {
    protocol: SseQueue for protocol in ("sse_v1", "sse_v2", "sse_v2.1", "sse_v3")
}


def transport_for(app: App, http: AppHttp, max_bytes: int) -> Transport:
    """The transport of the app's protocol. Raises StepError of kind `unsupported` where there is none."""
    maker = TRANSPORTS.get(app.protocol)
    if maker is None:
        raise unsupported(
            f"the app runs Gradio {app.version} with the protocol '{app.protocol}', which is not supported "
            "yet. Use a version of the Space with Gradio 5 or 6."
        )
    return maker(http, app.prefix, max_bytes)


class _Progress:
    """Tells each new state of the call once."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._tell, self._last = on_progress, ""

    def tell(self, event: dict[str, Any]) -> None:
        text = shortened(_progress_text(event), PROGRESS_CHARACTERS)
        if text and text != self._last:
            self._last = text
            self._tell(text)


def _progress_text(event: dict[str, Any]) -> str:
    match event:
        case {"msg": "estimation", "rank": int(rank)}:
            return f"queue position {rank + 1}"
        case {"msg": "process_starts"}:
            return "running"
        case {"msg": "process_generating" | "process_streaming"}:
            return "answering"
        case {"msg": "progress", "progress_data": [*_, dict(unit)]}:
            return _unit_text(unit)
    return ""


def _unit_text(unit: dict[str, Any]) -> str:
    index, length, share = unit.get("index"), unit.get("length"), unit.get("progress")
    desc = unit.get("desc") if isinstance(unit.get("desc"), str) else ""
    if isinstance(index, int) and isinstance(length, int):
        return f"{desc or 'progress'} {index}/{length}"
    return f"{desc or 'progress'} {share:.0%}" if isinstance(share, float) else str(desc)


def _is_last(event: dict[str, Any]) -> bool:
    return event.get("msg") in ("process_completed", "unexpected_error", "server_stopped", "queue_full")


def _outputs(event: dict[str, Any]) -> list[Any]:
    if event["msg"] != "process_completed":
        raise crashed(f"the app stopped before it answered: {_text(event.get('message')) or event['msg']}")
    output = event.get("output")
    if not event.get("success", True):
        error = output.get("error") if isinstance(output, dict) else None
        raise app_error(_text(error) or NO_REASON)
    data = output.get("data") if isinstance(output, dict) else None
    if not isinstance(data, list):
        raise bad_output("the app completed the call without an output")
    return data


def _text(value: object) -> str:
    return shortened(value) if isinstance(value, str) else ""


def _refusal(error: RefusedError) -> Exception:
    if error.status == 503:
        return app_error(f"the app's queue takes no call ({error}): try again later")
    return app_error(f"the app refused the call ({error})")
