"""How an answer of server-sent events ends before its time, whichever task of it finds that out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from spacedockd.http.errors import HttpError
from spacedockd.http.event_stream import EventStream
from spacedockd.http.intake import Intake
from spacedockd.http.settings import HttpLimits


class Reader:
    """The answer to a client that reads all, or nothing."""

    def __init__(self, *, reads: bool) -> None:
        self.read = bytearray()
        self._reads = reads

    async def write(self, raw: bytes) -> None:
        self.read += raw
        if not self._reads:
            await asyncio.Event().wait()


def stream_to(reader: Reader, folder: Path) -> EventStream:
    intake = Intake(folder, HttpLimits(body_seconds=0.01))
    return EventStream(intake, cast(web.StreamResponse, reader))


async def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    stream = stream_to(Reader(reads=False), tmp_path)
    with pytest.raises(HttpError, match="read too slowly"):
        async with stream.beating(asyncio.Event()), asyncio.TaskGroup() as tasks:
            tasks.create_task(stream.send({"msg": "estimation"}))


async def test_a_client_is_told_that_the_daemon_stops(tmp_path: Path) -> None:
    reader, closing = Reader(reads=True), asyncio.Event()
    closing.set()
    with pytest.raises(ConnectionResetError):
        async with stream_to(reader, tmp_path).beating(closing):
            await asyncio.Event().wait()
    assert b"Server stopped unexpectedly." in reader.read


async def test_a_fault_of_ours_stays_one(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup):
        async with stream_to(Reader(reads=True), tmp_path).beating(asyncio.Event()):
            raise ValueError
