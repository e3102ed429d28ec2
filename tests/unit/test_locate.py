"""Where the daemon's Redis is looked for, and what an address may tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock import configuration
from spacedock._wire.connection import connect, explained, redacted, told_as_ours
from spacedock.configuration import ConfigError
from spacedock.errors import BadRequestError, NotConnectedError

USER, ROOT = 1000, 0


@pytest.mark.parametrize(
    ("env", "uid", "expected"),
    [
        ({"RUNTIME_DIRECTORY": "/run/x", "XDG_RUNTIME_DIR": "/run/user/0"}, ROOT, "/run/x"),
        ({"XDG_RUNTIME_DIR": "/run/user/0"}, ROOT, "/run/spacedock"),
        ({"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/u"}, USER, "/run/user/1000/spacedock"),
        ({"HOME": "/home/u"}, USER, "/home/u/.local/state/spacedock/run"),
        ({"XDG_RUNTIME_DIR": "", "HOME": ""}, USER, "/.local/state/spacedock/run"),
        ({}, USER, "/.local/state/spacedock/run"),
    ],
)
def test_the_runtime_directory_is_this_users(env: dict[str, str], uid: int, expected: str) -> None:
    assert configuration.runtime_dir(env, uid) == Path(expected)


def test_the_variable_goes_before_everything(tmp_path: Path) -> None:
    env = {"SPACEDOCK_REDIS_URL": "redis://h", "RUNTIME_DIRECTORY": str(tmp_path)}
    assert configuration.default_url(env, USER) == "redis://h"


def test_an_empty_variable_is_none(system: Path) -> None:
    env = {"SPACEDOCK_REDIS_URL": "", "RUNTIME_DIRECTORY": "/run/x"}
    assert configuration.default_url(env, USER) == "unix:///run/x/redis.sock"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The socket of the system's daemon, if it is made; what this machine has is out of sight."""
    monkeypatch.setattr(configuration, "SYSTEM_RUNTIME", tmp_path / "system")
    monkeypatch.setattr(configuration, "SYSTEM_FILE", tmp_path / "etc/spacedockd.yaml")
    for folder in ("system", "etc", "own/spacedock", "home/.config/spacedock"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "system/redis.sock"


@pytest.fixture
def env(system: Path, tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path / "own"), "HOME": str(tmp_path / "home")}


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    return tmp_path / "home/.config/spacedock/spacedockd.yaml"


@pytest.fixture
def system_file(tmp_path: Path) -> Path:
    return tmp_path / "etc/spacedockd.yaml"


def test_the_systems_daemon_is_used_where_the_user_runs_none(system: Path, env: dict[str, str]) -> None:
    system.touch()
    assert configuration.default_url(env, USER) == f"unix://{system}"


def test_the_users_own_daemon_goes_before_the_systems(
    system: Path, env: dict[str, str], tmp_path: Path
) -> None:
    system.touch()
    own = tmp_path / "own/spacedock/redis.sock"
    own.touch()
    assert configuration.default_url(env, USER) == f"unix://{own}"


def test_a_runtime_directory_that_is_named_is_the_only_one(system: Path, env: dict[str, str]) -> None:
    system.touch()
    env["SPACEDOCK_RUNTIME_DIR"] = "/run/named"
    assert configuration.default_url(env, USER) == "unix:///run/named/redis.sock"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis_url: redis://queue:1/0", "redis://queue:1/0"),
        ("runtime_dir: /run/configured", "unix:///run/configured/redis.sock"),
        ("redis_url: redis://queue:1/0\nruntime_dir: /run/configured", "redis://queue:1/0"),
        ("redis_url:\nruntime_dir: /run/configured", "unix:///run/configured/redis.sock"),
    ],
)
def test_the_configuration_file_names_the_queue(
    env: dict[str, str], own_file: Path, text: str, expected: str
) -> None:
    own_file.write_text(text)
    assert configuration.default_url(env, USER) == expected


def test_a_variable_goes_before_the_file(env: dict[str, str], own_file: Path) -> None:
    own_file.write_text("runtime_dir: /run/configured")
    assert (
        configuration.default_url({**env, "SPACEDOCK_RUNTIME_DIR": "/run/y"}, USER)
        == "unix:///run/y/redis.sock"
    )
    assert configuration.default_url({**env, "SPACEDOCK_REDIS_URL": "redis://h"}, USER) == "redis://h"


def test_the_variables_file_goes_before_the_default_one(
    env: dict[str, str], own_file: Path, tmp_path: Path
) -> None:
    own_file.write_text("redis_url: redis://own")
    (tmp_path / "named.yaml").write_text("redis_url: redis://named")
    assert (
        configuration.default_url({**env, "SPACEDOCK_CONFIG": f"{tmp_path}/named.yaml"}, USER)
        == "redis://named"
    )


@pytest.mark.parametrize("uid", [USER, ROOT])
def test_the_systems_file_names_the_systems_queue(env: dict[str, str], system_file: Path, uid: int) -> None:
    system_file.write_text("redis_url: redis://system")
    assert configuration.default_url(env, uid) == "redis://system"


def test_the_systems_file_names_its_runtime_directory(
    env: dict[str, str], system_file: Path, tmp_path: Path
) -> None:
    system_file.write_text(f"runtime_dir: {tmp_path}")
    (tmp_path / "redis.sock").touch()
    assert configuration.default_url(env, USER) == f"unix://{tmp_path}/redis.sock"


def test_a_file_of_the_system_that_is_of_no_use_is_nobodys_trouble(
    system: Path, env: dict[str, str], system_file: Path
) -> None:
    system_file.mkdir()
    system.touch()
    assert configuration.default_url(env, USER) == f"unix://{system}"


@pytest.mark.parametrize("text", ["- a list", "redis_url: [1]", "redis_url: {a", "runtime_dir: 7"])
def test_a_file_that_is_wrong_is_told(env: dict[str, str], own_file: Path, text: str) -> None:
    own_file.write_text(text)
    with pytest.raises(ConfigError, match=r"configuration|cannot be read"):
        configuration.default_url(env, USER)


@pytest.mark.parametrize("text", ["redis_url: [secret", "redis_url: 'secret", "\x00secret"])
def test_what_is_no_yaml_is_told_in_one_line_that_quotes_nothing(
    env: dict[str, str], own_file: Path, text: str
) -> None:
    own_file.write_text(text)
    with pytest.raises(ConfigError) as told:
        configuration.default_url(env, USER)
    assert "cannot be read: it is not YAML" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_named_must_exist(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"/none\.yaml: there is no such configuration file"):
        configuration.default_url({**env, "SPACEDOCK_CONFIG": "/none.yaml"}, USER)


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


def test_a_redis_elsewhere_that_is_not_there_is_not_started_by_a_daemon() -> None:
    said = str(NotConnectedError("redis://h:6379", "Connection refused"))
    assert said.startswith("no Redis answers at redis://h:6379 (Connection refused). Start that server, ")
    assert "spacedockd" not in said


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Error 2 connecting to /run/x.sock. No such file or directory.", "No such file or directory"),
        ("Error 111 connecting to h:1. Connect call failed ('h', 1).", "Connection refused"),
        (
            "Error connecting to localhost:1. All: [Errno 111] Connect call failed ('::1', 1).",
            "Connection refused",
        ),
        ("Error -2 connecting to h:1. Name or service not known.", "Name or service not known"),
        (
            "No master found for 'm' : <redis.Redis(<redis.Pool(host=h)>)> - Gone()",
            "No master found for 'm' : Gone()",
        ),
        ("Timeout connecting to server", "Timeout connecting to server"),
    ],
)
def test_what_redis_py_says_is_told_once_and_in_words(said: str, told: str) -> None:
    error = explained("redis://h", ConnectionError(said))
    assert isinstance(error, NotConnectedError)
    assert error.why == told
