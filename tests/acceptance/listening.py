"""Clients that listen to the events of a real daemon's HTTP door, and outlive the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
from tests.acceptance.running import Daemon
from tests.integration.http.sse import frames


class Listener:
    """Follows all events, and goes on after the last one that came, as a browser's EventSource does."""

    def __init__(self, daemon: Daemon) -> None:
        self._url = f"http://127.0.0.1:{daemon.env['SPACEDOCK_HTTP__PORT']}"
        self._token = (daemon.folder / "state/http-token").read_text().strip()
        self.begun = asyncio.Event()
        self.numbers: list[int] = []
        self.last = 0

    async def listen(self, ended: set[str], wanted: int) -> None:
        """Until so many jobs have ended."""
        headers = {"Authorization": f"Bearer {self._token}"}
        while len(ended) < wanted:
            try:
                async with (
                    aiohttp.ClientSession(headers=headers) as session,
                    session.get(f"{self._url}/events", headers=self._resuming()) as response,
                ):
                    async for frame in frames(response):
                        self.last = frame["number"]
                        self.begun.set()
                        if "job_id" in frame:
                            self.numbers.append(self.last)
                            ended |= {frame["job_id"]} if frame["state"] else set()
                        if len(ended) >= wanted:
                            return
            except aiohttp.ClientError:
                # The daemon is down: there is nothing to wait on but its port.
                await asyncio.sleep(0.2)

    def _resuming(self) -> dict[str, str]:
        return {"Last-Event-ID": str(self.last)} if self.begun.is_set() else {}


def assert_nothing_missed(listeners: Sequence[Listener], least: int) -> None:
    """Events are numbered one by one: none is missing, and none came twice."""
    first = listeners[0].numbers
    assert len(first) >= least
    for listener in listeners:
        assert listener.numbers == [*range(first[0], first[0] + len(listener.numbers))]
