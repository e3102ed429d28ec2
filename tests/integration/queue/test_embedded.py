"""The embedded Valkey's memory: bounded, never evicted, also where a daemon attaches to a live server."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.configuration import socket_url
from spacedock.errors import QueueFullError
from spacedockd import valkey
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


async def test_one_that_reads_a_long_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, said = 0, EmbeddedValkey._said

    async def loading(server: EmbeddedValkey) -> valkey._Said:
        # A file that takes longer than that to read would be hundreds of MB long.
        nonlocal asked
        asked += 1
        return valkey._Said.LOADING if asked < 30 else await said(server)

    monkeypatch.setattr(valkey, "START_SECONDS", 1.0)
    monkeypatch.setattr(EmbeddedValkey, "_said", loading)
    server = EmbeddedValkey(tmp_path / "run/s", tmp_path, 64 * MB)
    try:
        await server.start()
        assert await server.answers()
    finally:
        await server.stop()
