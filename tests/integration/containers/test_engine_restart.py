"""An engine that restarts fails nothing that can wait for it; one that stays away is not waited for twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.proxy import Proxy, unix_proxy

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker import engine
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import EngineAwayError, StepError

SOCKET = Path("/var/run/docker.sock")


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    async with unix_proxy(SOCKET, tmp_path / "docker.sock") as proxy:
        yield proxy


@pytest.fixture
async def proxied(proxy: Proxy, tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine(f"unix://{tmp_path}/docker.sock") as proxied:
        yield proxied


async def version_of(engine: Engine) -> str:
    async with engine.call(Stage.START) as docker:
        return str((await docker.version())["Version"])


def goes(proxy: Proxy) -> None:
    """As when the engine stops: connections break, and none is taken."""
    proxy.refusing = True
    proxy.cut()


async def test_work_is_begun_again_when_the_engine_is_back(proxy: Proxy, proxied: Engine) -> None:
    assert await version_of(proxied)
    goes(proxy)
    asyncio.get_running_loop().call_later(1.0, setattr, proxy, "refusing", False)
    told: list[str] = []
    assert await proxied.through_restart(lambda: version_of(proxied), lambda: told.append("waits"))
    assert told == ["waits"]


async def test_what_an_engine_refuses_while_it_stops_is_begun_again(proxy: Proxy, proxied: Engine) -> None:
    assert await version_of(proxied)
    refused = [StepError(Stage.START, ErrorKind.START_FAILED, "database not open")] * 2
    # It takes no new connections, and goes on answering by those that it has.
    proxy.refusing = True

    async def start() -> str:
        if refused:
            asyncio.get_running_loop().call_later(1.0, setattr, proxy, "refusing", False)
            raise refused.pop()
        return await version_of(proxied)

    with pytest.raises(StepError, match="database not open"):
        # It is back, and refuses again: that is no restart.
        await proxied.through_restart(start)
    proxy.refusing = True
    refused.append(StepError(Stage.START, ErrorKind.START_FAILED, "database not open"))
    assert await proxied.through_restart(start)


async def test_an_engine_that_was_never_there_is_not_waited_for(proxy: Proxy, proxied: Engine) -> None:
    goes(proxy)
    async with asyncio.timeout(engine.BACK_SECONDS / 2):
        with pytest.raises(StepError) as failed:
            await proxied.through_restart(lambda: version_of(proxied))
    assert failed.value.kind is ErrorKind.DOCKER_UNAVAILABLE
    assert not isinstance(failed.value, EngineAwayError)


async def test_an_engine_that_stays_away_is_waited_for_once(
    proxy: Proxy, proxied: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await version_of(proxied)
    goes(proxy)
    for seconds in (1.0, 3600.0):
        monkeypatch.setattr(engine, "BACK_SECONDS", seconds)
        # It may come back, so that who asked can wait for it elsewhere.
        with pytest.raises(EngineAwayError):
            async with asyncio.timeout(60):
                await proxied.through_restart(lambda: version_of(proxied))
