"""Bytes between two streams, both ways, and the one answer that the front gives by itself."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

_CHUNK = 65_536
_CLOSE_SECONDS = 2.0


async def relay(client: tuple[StreamReader, StreamWriter], server: tuple[StreamReader, StreamWriter]) -> None:
    """Pass bytes both ways until either side ends, then close both.

    It has no deadline of its own: the client bounds its call, and hanging up is how it ends one early;
    llama.cpp then stops computing.
    """
    pumps = {
        asyncio.create_task(_pump(client[0], server[1])),
        asyncio.create_task(_pump(server[0], client[1])),
    }
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Before anything is awaited: a cancellation may come here, too.
        for writer in (server[1], client[1]):
            writer.close()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        await asyncio.gather(closed(server[1]), closed(client[1]))


async def _pump(source: StreamReader, target: StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()


async def closed(writer: StreamWriter) -> None:
    """Close a stream, within bounds and whatever state it is in."""
    writer.close()
    with suppress(ConnectionError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), _CLOSE_SECONDS)


async def unavailable(client: tuple[StreamReader, StreamWriter], message: str, *, final: bool) -> None:
    """Answer HTTP 503 with the reason, in OpenAI's form; `final` tells the client not to try again."""
    reader, writer = client
    with suppress(ConnectionError, TimeoutError):
        writer.write(_response(message, final))
        writer.write_eof()
        # Closing over an unread request would reset the connection before the answer is read.
        async with asyncio.timeout(_CLOSE_SECONDS):
            while await reader.read(_CHUNK):
                pass
    await closed(writer)


def _response(message: str, final: bool) -> bytes:
    error = {"message": message, "type": "unavailable_error", "code": 503}
    body = json.dumps({"error": error}).encode()
    head = [
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if final:
        head.append("x-should-retry: false")
    return "\r\n".join([*head, "", ""]).encode() + body
