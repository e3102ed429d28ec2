"""Where the daemon's Redis is looked for, and what an address may tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock import locate
from spacedock.connection import connect, redacted, told_as_ours
from spacedock.errors import BadRequestError, NotConnectedError

USER, ROOT = 1000, 0


@pytest.mark.parametrize(
    ("env", "uid", "expected"),
    [
        ({"SPACEDOCK_RUNTIME_DIR": "/run/y", "RUNTIME_DIRECTORY": "/run/x"}, ROOT, "/run/y"),
        ({"RUNTIME_DIRECTORY": "/run/x", "XDG_RUNTIME_DIR": "/run/user/0"}, ROOT, "/run/x"),
        ({"XDG_RUNTIME_DIR": "/run/user/0"}, ROOT, "/run/spacedock"),
        ({"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/u"}, USER, "/run/user/1000/spacedock"),
        ({"HOME": "/home/u"}, USER, "/home/u/.local/state/spacedock/run"),
        ({"XDG_RUNTIME_DIR": "", "HOME": ""}, USER, "/.local/state/spacedock/run"),
        ({}, USER, "/.local/state/spacedock/run"),
    ],
)
def test_the_runtime_directory_is_this_users(env: dict[str, str], uid: int, expected: str) -> None:
    assert locate.runtime_dir(env, uid) == Path(expected)


def test_the_variable_goes_before_everything(tmp_path: Path) -> None:
    env = {"SPACEDOCK_REDIS_URL": "redis://h", "RUNTIME_DIRECTORY": str(tmp_path)}
    assert locate.default_url(env, USER) == "redis://h"


def test_an_empty_variable_is_none() -> None:
    env = {"SPACEDOCK_REDIS_URL": "", "RUNTIME_DIRECTORY": "/run/x"}
    assert locate.default_url(env, USER) == "unix:///run/x/redis.sock"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locate, "SYSTEM_RUNTIME", tmp_path / "system")
    (tmp_path / "system").mkdir()
    (tmp_path / "own/spacedock").mkdir(parents=True)
    return tmp_path / "system/redis.sock"


def test_the_systems_daemon_is_used_where_the_user_runs_none(system: Path, tmp_path: Path) -> None:
    system.touch()
    assert locate.default_url({"XDG_RUNTIME_DIR": str(tmp_path / "own")}, USER) == f"unix://{system}"


def test_the_users_own_daemon_goes_before_the_systems(system: Path, tmp_path: Path) -> None:
    system.touch()
    own = tmp_path / "own/spacedock/redis.sock"
    own.touch()
    assert locate.default_url({"XDG_RUNTIME_DIR": str(tmp_path / "own")}, USER) == f"unix://{own}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("redis://:secret@h/0", "redis://:***@h/0"),
        ("rediss://user:secret@h:1/0", "rediss://user:***@h:1/0"),
        ("redis://:se:cr@et@h/0", "redis://:***@h/0"),
        ("redis://:se/cret@h/0", "redis://:***@h/0"),
        ("unix:///run/x.sock?db=1&password=secret", "unix:///run/x.sock?db=1&password=***"),
        ("redis://[::1", "redis://[::1"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://h", "redis://h:port", "redis://[::1", "/run/x.sock"]
)
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(BadRequestError, match="is not the address of a Redis"):
        connect(url)


async def test_a_server_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/no.sock"
    async with connect(url) as redis:
        with pytest.raises(NotConnectedError, match="Start it with `spacedockd`"), told_as_ours(url):
            await redis.ping()
