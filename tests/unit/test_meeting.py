"""Opening a client while the daemon of this machine is starting, or is not there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spacedock import Client
from spacedock._wire import connection
from spacedock.configuration import SOCKET, has_daemon, socket_url
from spacedock.errors import NotConnectedError
from spacedockd import paths


@pytest.fixture
def runtime() -> Iterator[Path]:
    # Not pytest's own folders: their paths are too long for a unix socket.
    with tempfile.TemporaryDirectory(prefix="sd-") as folder:
        yield Path(folder)


async def opened(runtime: Path) -> None:
    async with Client(socket_url(runtime / SOCKET)):
        pass


async def test_a_client_waits_for_the_redis_of_a_daemon_that_is_starting(
    runtime: Path, valkey_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Event()

    def seen(url: str) -> bool:
        looked.set()
        return has_daemon(url)

    monkeypatch.setattr(connection, "has_daemon", seen)
    with paths.shown_alive(runtime):
        opening = asyncio.create_task(opened(runtime))
        await looked.wait()
        (runtime / SOCKET).symlink_to(valkey_socket)
        await opening


async def test_a_client_does_not_wait_for_a_daemon_that_is_gone(runtime: Path) -> None:
    with paths.shown_alive(runtime):
        assert has_daemon(socket_url(runtime / SOCKET))
    assert not has_daemon(socket_url(runtime / SOCKET))
    with pytest.raises(NotConnectedError):
        await opened(runtime)


async def test_a_daemon_whose_redis_stays_away_is_given_up(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STARTING_SECONDS", 0.0)
    with paths.shown_alive(runtime), pytest.raises(NotConnectedError):
        await opened(runtime)


@pytest.mark.parametrize("url", ["redis://localhost", "unix:///no/such/redis.sock", "unix://"])
def test_other_addresses_have_no_daemon_of_this_machine(url: str) -> None:
    assert not has_daemon(url)
