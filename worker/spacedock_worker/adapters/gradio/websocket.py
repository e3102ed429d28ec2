"""Gradio 3's queue over a websocket: it asks for the session, then for the data, and answers."""

from __future__ import annotations

import asyncio
from typing import Any

from spacedock_worker.adapters.faults import crashed
from spacedock_worker.adapters.gradio.events import Follower
from spacedock_worker.adapters.gradio.transport import Posting, refusal
from spacedock_worker.adapters.http import AppHttp, AppRefusedError


class WebSocketQueue:
    """The protocol of Gradio 3, which its `/config` does not name."""

    def __init__(self, http: AppHttp, prefix: str, max_bytes: int) -> None:
        self._http, self._prefix, self._max = http, prefix, max_bytes

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
