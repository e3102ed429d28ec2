"""How an answer of server-sent events ends before its time, whichever task of it finds that out."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from aiohttp import web

from spacedockd.http.events import EventStream


class Reader:
    """The answer to a client, which may have hung up."""

    def __init__(self, *, gone: bool = False) -> None:
        self.read = bytearray()
        self._gone = gone

    async def write(self, raw: bytes) -> None:
        if self._gone:
            raise ConnectionResetError
        self.read += raw


def stream_to(reader: Reader) -> EventStream:
    return EventStream(cast(web.StreamResponse, reader))


async def test_a_task_that_finds_nobody_reading_ends_the_stream() -> None:
    stream = stream_to(Reader(gone=True))
    with pytest.raises(ConnectionResetError):
        async with stream.beating(asyncio.Event()), asyncio.TaskGroup() as tasks:
            tasks.create_task(stream.send({"msg": "estimation"}))


async def test_a_client_is_told_that_the_daemon_stops() -> None:
    reader, closing = Reader(), asyncio.Event()
    closing.set()
    with pytest.raises(ConnectionResetError):
        async with stream_to(reader).beating(closing):
            await asyncio.Event().wait()
    assert b"Server stopped unexpectedly." in reader.read


async def test_a_fault_of_ours_stays_one() -> None:
    with pytest.raises(ExceptionGroup):
        async with stream_to(Reader()).beating(asyncio.Event()):
            raise ValueError
