"""A proxy in front of a server, for connections that are slow, and break in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_CHUNK = 2**16
_STILL_SECONDS = 2.0

Upstream = str | Path


class Proxy:
    """Hands on what comes, at most `rate` bytes per second and connection; `cut` breaks all connections.

    While it is `refusing`, it hangs up at once (`polite`: once it was asked); while it is `hung`, it accepts
    all and hands nothing on. Each answer is `late` seconds late; so many of the next answers as `halved` says
    end in their middle, and their connections with them.
    """

    def __init__(self, upstream: Upstream, rate: float | None = None) -> None:
        self.rate = rate
        self.handed_on = self.halved = 0
        self.late = 0.0
        self.refusing = self.polite = self.hung = False
        self._upstream = upstream
        self._writers: set[asyncio.StreamWriter] = set()
        self._quiet = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Event]] = []

    async def reached(self, count: int) -> None:
        """Wait until `count` bytes more than now have come from the server."""
        event = asyncio.Event()
        self._waiting.append((self.handed_on + count, event))
        await event.wait()

    async def quiet(self) -> None:
        """Wait until no connection is open, or nothing comes by those that are: containerd keeps some."""
        while not self._quiet.is_set():
            before = self.handed_on
            with suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), _STILL_SECONDS)
            if self.handed_on == before:
                return

    def cut(self) -> None:
        """Break every connection, without a word."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.refusing:
            if self.polite:
                await reader.read(_CHUNK)
                writer.close()
            else:
                writer.transport.abort()
            return
        self._writers.add(writer)
        self._quiet.clear()
        if self.hung:
            with suppress(OSError):
                while await reader.read(_CHUNK):
                    pass
            self._writers.discard(writer)
            writer.close()
            return
        try:
            there, back = await self._connect()
        except OSError:
            # Containerd is back before the server is.
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(back)
        with suppress(OSError):
            await asyncio.gather(self._copy(reader, back, False), self._copy(there, writer, True))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        host, _, port = self._upstream.partition(":")
        return await asyncio.open_connection(host, int(port))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: bool) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if back:
                    self._count(len(data))
                    await asyncio.sleep(self.late + (len(data) / self.rate if self.rate else 0.0))
                    if self.halved > 0:
                        self.halved -= 1
                        writer.write(data[: len(data) // 2])
                        await writer.drain()
                        writer.transport.abort()
                        return
                writer.write(data)
                await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.close()
            if not self._writers:
                self._quiet.set()

    def _count(self, size: int) -> None:
        self.handed_on += size
        for at, event in self._waiting:
            if self.handed_on >= at:
                event.set()


@asynccontextmanager
async def tcp_proxy(upstream: Upstream, rate: float | None = None) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy on loopback, and its address."""
    proxy = Proxy(upstream, rate)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield proxy, f"{host}:{port}"
        proxy.cut()


@asynccontextmanager
async def unix_proxy(upstream: Path, at: Path) -> AsyncIterator[Proxy]:
    """A proxy at the socket `at`."""
    proxy = Proxy(upstream)
    server = await asyncio.start_unix_server(proxy.handle, at)
    async with server:
        yield proxy
        proxy.cut()
