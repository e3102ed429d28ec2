"""`spacedock token` and `spacedock page`, towards a real door and a real Valkey."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from tests.door import Door, opened
from typer.testing import CliRunner, Result

from spacedock._wire.view.tokens import signed
from spacedock.cli.app import app_of


@pytest.fixture
async def door(redis_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(redis_url, tmp_path) as door:
        yield door


Command = Callable[..., Result]


@pytest.fixture
def spacedock(redis_url: str, tmp_path: Path) -> Command:
    env = {"SPACEDOCK_REDIS_URL": redis_url, "SPACEDOCK_RUNTIME_DIR": f"{tmp_path}/run"}

    def run(*words: str) -> Result:
        return CliRunner().invoke(app_of(words[0]), words, env=env, catch_exceptions=True)

    return run


def test_tokens_are_made_listed_and_revoked(spacedock: Command) -> None:
    assert "no token was made" in spacedock("token", "list").stderr
    text = spacedock("token", "create", "robot", "--scope", "read").stdout.strip()
    (row,) = json.loads(spacedock("token", "list", "--json").stdout)
    assert (row["name"], row["scope"], text.split("-")[1]) == ("robot", "read", row["id"])
    assert "sha256" not in row
    assert "robot" in spacedock("token", "list").stdout
    assert f"robot ({row['id']}) is revoked" in spacedock("token", "revoke", row["id"]).stderr
    assert "no token 'robot'" in str(spacedock("token", "revoke", "robot").exception)


async def test_the_owners_token_is_shown_to_the_owner(door: Door, spacedock: Command) -> None:
    assert spacedock("token", "show").stdout.strip() == door.token


def test_without_a_daemon_it_is_said_what_to_start(spacedock: Command) -> None:
    assert "no daemon of this user serves HTTP" in str(spacedock("token", "show").exception)


async def test_a_code_opens_the_page_once_and_becomes_a_cookie(door: Door, spacedock: Command) -> None:
    address = spacedock("page", "--print").stdout.strip()
    # aiohttp keeps no cookies of addresses unless it is told to.
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(address) as response:
            assert response.status == 200
            assert '<script type="module" src="/page.js">' in await response.text()
            said = response.history[0].headers["Set-Cookie"]
            assert all(word in said for word in ("HttpOnly", "SameSite=Strict"))
        async with browser.get(f"{door.url}/hosts") as response:
            assert response.status == 200
        async with browser.post(f"{door.url}/hosts") as response:
            assert response.status == 401
        async with browser.post(f"{door.url}/hosts", headers={"Origin": door.url}) as response:
            assert response.status == 405
    async with aiohttp.ClientSession() as other, other.get(address) as response:
        assert response.status == 403


@pytest.mark.parametrize("purpose", ["code", "spacedock"])
async def test_old_and_foreign_codes_open_nothing(door: Door, purpose: str) -> None:
    for secret, expires in ((door.token, time.time() - 1), ("another", time.time() + 60)):
        code = signed(secret, purpose, expires)
        cookies = {"spacedock": code}
        async with (
            aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
            session.get(f"{door.url}/login", params={"code": code}) as login,
            session.get(f"{door.url}/hosts") as response,
        ):
            assert (login.status, response.status) == (403, 401)
