"""Gradio's queue over server-sent events, from 4.9 on: POST to join, one stream to follow."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Any

from spacedock_worker.adapters.faults import bad_output, crashed
from spacedock_worker.adapters.gradio.following import Follower
from spacedock_worker.adapters.gradio.sse import events_of
from spacedock_worker.adapters.gradio.transport import SMALL_ANSWER_BYTES, Posting, refusal
from spacedock_worker.adapters.http import AppHttp, RefusedError
from spacedock_worker.errors import StepError

CANCEL_SECONDS = 2.0


class SseQueue:
    """The protocols sse_v1 to sse_v3."""

    def __init__(self, http: AppHttp, prefix: str, max_bytes: int) -> None:
        self._http, self._prefix, self._max = http, prefix, max_bytes

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
        except RefusedError as error:
            raise crashed(f"the app's queue lost the call ({error}): see the container's log") from error
        except asyncio.CancelledError:
            await self._cancel(posting, event_id, follower)
            raise

    async def _join(self, posting: Posting) -> str:
        try:
            joined = await self._http.post_json(
                f"{self._prefix}/queue/join", posting.body, SMALL_ANSWER_BYTES
            )
        except RefusedError as error:
            raise refusal(error) from error
        event_id = joined.get("event_id") if isinstance(joined, dict) else None
        if not isinstance(event_id, str):
            raise bad_output("the app's queue took the call without giving it an id")
        return event_id

    async def _follow(self, posting: Posting, event_id: str, follower: Follower) -> list[Any]:
        path, session = f"{self._prefix}/queue/data", {"session_hash": posting.session}
        async with (
            self._http.request("GET", path, params=session, patient=True) as stream,
            aclosing(events_of(stream, self._max)) as events,
        ):
            async for event in events:
                if isinstance(event, dict) and event.get("event_id") not in (event_id, None):
                    continue
                if (outputs := follower.hear(event)) is not None:
                    return outputs
        raise crashed("the app ended the connection before it answered: see the container's log")

    async def _cancel(self, posting: Posting, event_id: str, follower: Follower) -> None:
        """Take the call out of the app's queue, or end its generator. Bounded, never raises.

        An app stops between two parts of an answer only: one that has not sent any may compute for long.
        """
        body = {"session_hash": posting.session, "fn_index": posting.fn_index, "event_id": event_id}
        with suppress(StepError, RefusedError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._http.post_json(f"{self._prefix}/cancel", body, SMALL_ANSWER_BYTES)
            follower.stopped = follower.lively
