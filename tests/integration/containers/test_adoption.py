"""What happens while the engine is away, and once it is back, on the real engine behind a proxy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.integration.containers.parts import answers, ours, silent
from tests.proxy import unix_proxy

from spacedock.result import Stage
from spacedock_worker.containers.docker import engine as engines
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool

SOCKET = Path("/run/docker.sock")


async def test_a_container_that_could_not_be_removed_goes_without_another_start(
    engine: Engine, settings, spec, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("spacedock_worker.containers.pool.adoption.Adoption.__init__.__defaults__", (0.1,))
    async with (
        unix_proxy(SOCKET, tmp_path / "d.sock") as proxy,
        Engine(f"unix://{tmp_path}/d.sock") as away,
        Pool(away, settings) as pool,
    ):
        async with pool.lease(spec("one"), answers, silent) as lease:
            lease.discard()
            proxy.refusing = True
            proxy.cut()
        await pool.settled()
        (left,) = await ours(engine, settings.instance_id)
        proxy.refusing = False
        async with engine.call(Stage.START) as docker:
            params = {"condition": "removed"}
            await docker._query_json(f"containers/{left}/wait", method="POST", params=params)
        assert repr(pool).startswith("<Pool 0/3")


async def test_a_hung_engine_keeps_no_pool_from_opening_and_closing(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_GREETING_SECONDS", 1.0)
    monkeypatch.setattr(engines, "_SILENT_SECONDS", 0.2)
    async with unix_proxy(SOCKET, tmp_path / "d.sock") as proxy, Engine(f"unix://{tmp_path}/d.sock") as hung:
        proxy.hung = True
        async with asyncio.timeout(60), Pool(hung, settings) as pool:
            assert repr(pool).startswith("<Pool 0/3")
