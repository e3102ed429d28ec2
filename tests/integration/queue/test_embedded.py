"""The embedded Valkey's memory: bounded, never evicted, also where a daemon attaches to a live server."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.configuration import socket_url
from spacedock.errors import QueueFullError
from spacedockd.valkey import EmbeddedValkey

MB = 2**20


async def test_it_holds_what_it_was_given_and_drops_nothing(tmp_path: Path) -> None:
    first = EmbeddedValkey(tmp_path / "run/s", tmp_path, 64 * MB)
    await first.start()
    try:
        async with connect(socket_url(first.socket)) as redis:
            memory = await redis.info("memory")
            assert (memory["maxmemory"], memory["maxmemory_policy"]) == (64 * MB, "noeviction")
            await redis.config_set("maxmemory", 0)
            again = EmbeddedValkey(first.socket, tmp_path, 128 * MB)
            await again.start()
            assert (await redis.info("memory"))["maxmemory"] == 128 * MB
    finally:
        await first.stop()


async def test_more_than_that_is_refused(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "run/s", tmp_path, 64 * MB)
    await server.start()
    try:
        async with Client(socket_url(server.socket)) as client:
            with pytest.raises(QueueFullError, match="of 45 MB for jobs"):
                await client.submit_many("x" * MB for _ in range(100))
    finally:
        await server.stop()
