"""The queue's tests run on each server there is: the Valkey that we carry, and the distribution's Redis."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.integration.queue.servers import Server

from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedockd.valkey import server_binary


def _binary(kind: str) -> str:
    found = server_binary() if kind == "valkey" else shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server on this machine")
    return found


@pytest.fixture(scope="session", params=["valkey", "redis"])
def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of each kind for all tests that do not disturb it."""
    server = Server(_binary(request.param), tmp_path_factory.mktemp(request.param))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(shared_server: Server) -> str:
    """The address of an empty server."""
    shared_server.empty()
    return shared_server.url


@pytest.fixture(params=["valkey", "redis"])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of each kind for one test alone, which may stop it."""
    server = Server(_binary(request.param), tmp_path)
    server.start()
    yield server
    server.resume()
    server.stop()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    """A client of that server."""
    async with Client(redis_url) as client:
        yield client


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A plain connection to that server."""
    async with connect(redis_url) as redis:
        yield redis
