"""A batch goes on where the queue's server is restarted under it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import working

from spacedock.client import Client

LINES = 200


async def test_a_batch_goes_on_after_a_restart_of_its_server(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out = tmp_path / "out.jsonl"
    given = [f"line {number}" for number in range(LINES)]
    count = 0
    async with working(own_server.url), Client(own_server.url) as client:
        async for _ in client.batch(given, output=out, in_flight=8):
            count += 1
            if count == LINES // 4:
                await asyncio.to_thread(own_server.stop)
                await asyncio.to_thread(own_server.start)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(row["line"] for row in rows) == list(range(1, LINES + 1))
