"""The HTTP door: who is let in, and with which rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.door import Door, opened

from spacedock._wire.view.tokens import Scope
from spacedock.client import Client
from spacedock.configuration import ConfigError
from spacedock.errors import BadRequestError
from spacedockd.http import access, listening
from spacedockd.http.listening import tcp_socket
from spacedockd.http.settings import HttpSettings


@pytest.fixture
async def door(redis_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(redis_url, tmp_path) as door:
        yield door


async def status(door: Door, path: str = "/hosts", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with door.session.get(path, headers=named) as response:
        return response.status


async def test_the_owner_comes_in_by_his_token_and_nobody_without_one(door: Door) -> None:
    assert await status(door) == 200
    assert await status(door, Authorization="") == 401
    assert await status(door, Authorization="Bearer sd-owner-wrong") == 401
    assert await status(door, Authorization=f"Basic {door.token}") == 401
    assert await status(door, Authorization="", X_Api_Key=door.token) == 200


async def test_what_does_not_exist_is_told_to_those_with_a_token_alone(door: Door) -> None:
    assert await status(door, "/nothing") == 404
    assert await status(door, "/nothing", Authorization="") == 401


def test_the_port_of_last_time_is_taken_first(tmp_path: Path) -> None:
    remembered = tmp_path / "http-port"
    with tcp_socket(HttpSettings(), remembered) as one, tcp_socket(HttpSettings(), remembered) as another:
        port = another.getsockname()[1]
        assert port != one.getsockname()[1]
    with tcp_socket(HttpSettings(), remembered) as again:
        assert again.getsockname()[1] == port
    remembered.write_text("no port")
    with tcp_socket(HttpSettings(), remembered):
        assert remembered.read_text().strip().isdecimal()


async def test_the_unix_socket_needs_no_token(door: Door) -> None:
    connector = aiohttp.UnixConnector(str(door.unix))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://spacedock/hosts") as response,
    ):
        assert response.status == 200
    assert door.unix.stat().st_mode & 0o777 == 0o600


async def test_a_token_works_until_it_is_revoked(door: Door, redis_url: str) -> None:
    async with Client(redis_url) as client:
        text = await client.tokens.create("reader", Scope.READ)
        assert await status(door, Authorization=f"Bearer {text}") == 200
        assert await status(door, Authorization=f"Bearer {text[:-1]}x") == 401
        (kept,) = await client.tokens.list()
        assert text not in kept.model_dump_json()
        await client.tokens.revoke("reader")
        assert await status(door, Authorization=f"Bearer {text}") == 401
        with pytest.raises(BadRequestError, match="no token 'reader'; there are: none"):
            await client.tokens.revoke("reader")


def test_each_scope_lets_do_what_is_below_it() -> None:
    allowed = [[scope.covers(other) for other in Scope] for scope in Scope]
    assert allowed == [[True, False, False], [True, True, False], [True, True, True]]


async def test_a_route_without_a_scope_is_not_served() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    async def answered(request: web.Request) -> web.StreamResponse:
        return web.Response()

    assert not access.is_guarded(handler)
    assert access.is_guarded(access.route("GET", "/x", answered, Scope.READ).handler)


async def test_a_taken_port_is_told_where_it_is_configured_and_else_the_next_one_is_used(
    door: Door, redis_url: str, tmp_path: Path
) -> None:
    taken = int(door.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {taken} .* is taken"):
        async with opened(redis_url, tmp_path / "second", port=taken):
            pass
    async with (
        opened(redis_url, tmp_path / "third", port=None) as third,
        opened(redis_url, tmp_path / "fourth", port=None) as fourth,
    ):
        ports = [int(one.url.rpartition(":")[2]) for one in (third, fourth)]
        assert 7788 <= ports[0] < ports[1]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"host": "0.0.0.0", "token": "none"}, "loopback alone"),
        ({"host": "0.0.0.0"}, "in the clear"),
        ({"tls_cert": "/cert.pem"}, "go together"),
    ],
)
def test_settings_that_are_not_safe_are_refused(settings: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        HttpSettings.model_validate(settings)


async def test_without_tokens_on_loopback_everybody_comes_in(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path, token="none") as door:
        assert await status(door, Authorization="") == 200


async def test_the_door_stops_while_a_client_is_connected(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path) as door:
        assert await status(door) == 200
        async with asyncio.timeout(60):
            await door.server.stop()
        assert not door.unix.exists()


async def test_what_the_daemon_before_left_is_done_without_a_connection(
    redis_url: str, tmp_path: Path
) -> None:
    left = tmp_path / "state/http-uploads/half-of-a-file"
    left.parent.mkdir(parents=True)
    left.touch()
    async with opened(redis_url, tmp_path), asyncio.timeout(60):
        # Nothing else tells of it.
        while left.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_door_that_cannot_answer_ends_and_its_port_is_free_again(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(redis_url, tmp_path) as door:
        with monkeypatch.context() as broken:
            broken.setattr(listening, "_SERVER", "spacedockd.http.is_not_there")
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(door.server.ended())
                with pytest.raises(aiohttp.ClientError):
                    await door.session.get("/healthz")
        await door.server.start()
        assert (await door.session.get("/healthz")).status < 600
