"""Gradio's queue over one stream of server-sent events, from 4.0 to 4.8: GET to join, POST when it asks."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from spacedock_worker.adapters.faults import app_error, crashed
from spacedock_worker.adapters.gradio.following import Follower
from spacedock_worker.adapters.gradio.sse import events_of
from spacedock_worker.adapters.gradio.transport import SMALL_ANSWER_BYTES, Posting, refusal
from spacedock_worker.adapters.http import AppHttp, RefusedError


class SseStream:
    """The protocol sse."""

    def __init__(self, http: AppHttp, prefix: str, max_bytes: int) -> None:
        self._http, self._prefix, self._max = http, prefix, max_bytes

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
        except RefusedError as error:
            raise refusal(error) from error
        except asyncio.CancelledError:
            # A generator ends where its next part finds nobody; nothing else does.
            follower.stopped = follower.lively
            raise
        raise crashed("the app ended the connection before it answered: see the container's log")

    async def _send(self, posting: Posting, event_id: object) -> None:
        body = {**posting.body, "event_id": event_id}
        try:
            await self._http.post_json(f"{self._prefix}/queue/data", body, SMALL_ANSWER_BYTES)
        except RefusedError as error:
            raise app_error(f"the app refused the call ({error})") from error
