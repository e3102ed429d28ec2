"""Keeping an app's own limit of calls at a time where they go past its queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PATIENCE_SECONDS = 0.2


class Gate:
    """A direct call is alone in the app; calls by the queue share it, since the queue orders them itself.

    No description tells how many calls at a time a function bears, and Gradio's default is one. A call that
    would go directly waits a moment for those in the queue, and goes by the queue where they take longer.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        # Waiters come in the order of their arrival, so neither kind starves the other.
        self._door = asyncio.Lock()
        self._queued = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._patience, self._waited = patience, False

    @asynccontextmanager
    async def enter(self, *, direct: bool) -> AsyncIterator[bool]:
        """Wait until a call may go; whether it may go directly, as it would like to."""
        async with self._door:
            if direct and await self._emptied():
                yield True
                return
            self._queued += 1
            self._empty.clear()
        try:
            yield False
        finally:
            self._queued -= 1
            if not self._queued:
                self._empty.set()
                self._waited = False

    async def _emptied(self) -> bool:
        """Whether nobody is in the queue, or nobody soon; one that takes long is waited for once."""
        if not self._waited:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._empty.wait()
            self._waited = not self._empty.is_set()
        return self._empty.is_set()
