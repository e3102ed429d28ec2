"""The daemon's configuration: which source goes before which, and what is wrong told by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spacedock.configuration import ConfigError
from spacedock.errors import SpacedockError
from spacedockd.settings import DaemonSettings, load
from spacedockd.worker_process import as_line

USER = 1000


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"STATE_DIRECTORY": str(tmp_path / "state"), "RUNTIME_DIRECTORY": str(tmp_path / "run")}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "spacedockd.yaml"


def loaded(env: dict[str, str], config: Path | None = None, text: str = "", **options: Any) -> DaemonSettings:
    if config is not None:
        config.write_text(text, encoding="utf-8")
    return load(config, options, env, USER)


def refused(env: dict[str, str], config: Path | None = None, text: str = "", **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(env, config, text, **options)
    return str(caught.value)


def test_nothing_needs_to_be_configured(env: dict[str, str], tmp_path: Path) -> None:
    settings = loaded({**env, "HOME": str(tmp_path)})
    assert (settings.redis_url, settings.containers.max_containers) == (None, 3)
    assert settings.state_dir == tmp_path / "state"


def test_a_file_goes_before_the_defaults(env: dict[str, str], config: Path) -> None:
    assert loaded(env, config, "max_jobs: 5\n").max_jobs == 5


def test_a_variable_goes_before_the_file(env: dict[str, str], config: Path) -> None:
    assert loaded({**env, "SPACEDOCK_MAX_JOBS": "6"}, config, "max_jobs: 5\n").max_jobs == 6


def test_an_option_goes_before_the_variable(env: dict[str, str], config: Path) -> None:
    settings = loaded({**env, "SPACEDOCK_MAX_JOBS": "6"}, config, "max_jobs: 5\n", max_jobs=7)
    assert settings.max_jobs == 7


def test_a_variable_changes_one_key_of_a_section(env: dict[str, str], config: Path) -> None:
    env["SPACEDOCK_CONTAINERS__PIDS"] = "100"
    containers = loaded(env, config, "containers: {pids: 64, memory: 134217728}\n").containers
    assert (containers.pids, containers.memory) == (100, 134217728)


def test_the_variables_file_is_read(env: dict[str, str], config: Path) -> None:
    config.write_text("max_jobs: 5\n")
    assert loaded({**env, "SPACEDOCK_CONFIG": str(config)}).max_jobs == 5


def test_an_empty_variable_for_the_file_is_none(env: dict[str, str]) -> None:
    assert loaded({**env, "SPACEDOCK_CONFIG": ""}).max_jobs == 128


def test_a_file_that_is_named_must_exist(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: there is no such configuration file"):
        load(tmp_path / "none.yaml", {}, env, USER)


def test_the_file_of_the_variable_must_exist_too(env: dict[str, str], tmp_path: Path) -> None:
    assert "no such configuration" in refused({**env, "SPACEDOCK_CONFIG": str(tmp_path / "none")})


@pytest.mark.parametrize(
    "text", ["", "# all of it is a comment\n", "containers:\n", "state_dir:\n", "images: {}\n"]
)
def test_keys_whose_values_are_commented_out_are_not_given(
    env: dict[str, str], config: Path, text: str
) -> None:
    assert loaded(env, config, text) == loaded(env)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("max_job: 5\n", "'max_job'"),
        ("containers: {memroy: 5}\n", "containers.memroy"),
        ("smollm: {pth: x}\n", "smollm.pth"),
        ("models: [{name: a, base_url: http://h/v1, key: x}]\n", "models.0.key"),
        ("1: x\nfoo: y\n", "'1'"),
    ],
)
def test_an_unknown_key_is_named(env: dict[str, str], config: Path, text: str, key: str) -> None:
    assert key in refused(env, config, text)


def test_an_unknown_variable_is_named_with_what_is_known(env: dict[str, str]) -> None:
    said = refused({**env, "SPACEDOCK_MAX_JOB": "5"})
    assert "'max_job'" in said
    assert "max_jobs" in said


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("max_jobs: many\n", "max_jobs"),
        ("max_jobs: 0\n", "max_jobs"),
        ("log_level: loud\n", "log_level"),
        ("containers: {memory: 5}\n", "containers.memory"),
        ("containers: [1]\n", "'containers'"),
        ("state_dir: 5\n", "'state_dir'"),
        ("runtime_dir: [a]\n", "'runtime_dir'"),
        ("models: [{name: a, base_url: localhost}]\n", "models.0"),
        ("default_model: {name: a, base_url: http://h, tier: heavy}\n", "default_model"),
    ],
)
def test_a_bad_value_is_named(env: dict[str, str], config: Path, text: str, key: str) -> None:
    assert key in refused(env, config, text)


@pytest.mark.parametrize("text", ["- a\n", "just words\n", "a: [\n", "a: !!python/object:os.system x\n"])
def test_a_file_that_is_no_configuration_is_named(env: dict[str, str], config: Path, text: str) -> None:
    assert str(config) in refused(env, config, text)


@pytest.mark.parametrize("clash", [["3", "100"], ["100", "3"]])
def test_a_variable_that_is_both_value_and_section_is_told(env: dict[str, str], clash: list[str]) -> None:
    names = ["SPACEDOCK_CONTAINERS", "SPACEDOCK_CONTAINERS__PIDS"]
    both = zip(names if clash[0] == "3" else names[::-1], clash, strict=True)
    assert "'containers' is not a section" in refused({**env, **dict(both)})


@pytest.mark.parametrize(
    ("name", "value"), [("SPACEDOCK_IMAGES__HUB_TOKEN", "[secret"), ("SPACEDOCK_SMOLLM__PATH", "'secret")]
)
def test_a_variables_value_is_not_repeated(env: dict[str, str], name: str, value: str) -> None:
    said = refused({**env, name: value})
    assert name in said
    assert "secret" not in said


def test_a_state_directory_that_cannot_be_made_is_told(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpacedockError, match="Name another directory"):
        loaded(env, state_dir=tmp_path / "file/state")


def test_the_state_directory_is_private(env: dict[str, str]) -> None:
    assert loaded(env).state_dir.stat().st_mode & 0o777 == 0o700


def test_a_state_directory_has_one_identity(env: dict[str, str]) -> None:
    assert loaded(env).containers.instance_id == loaded(env).containers.instance_id


def test_another_state_directory_has_another_identity(env: dict[str, str], tmp_path: Path) -> None:
    other = loaded(env, state_dir=tmp_path / "other")
    assert loaded(env).containers.instance_id != other.containers.instance_id


def test_relative_directories_become_absolute(env: dict[str, str], config: Path) -> None:
    assert loaded(env, config, "runtime_dir: run\n").runtime_dir == Path.cwd() / "run"


def test_the_ca_bundle_of_the_machine_is_trusted(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    settings = loaded({**env, "SSL_CERT_FILE": "/no/such", "PIP_CERT": str(tmp_path / "ca.pem")})
    assert settings.images.ca_bundle == tmp_path / "ca.pem"


def test_the_logins_of_the_machine_are_used(env: dict[str, str], tmp_path: Path) -> None:
    images = loaded({**env, "HOME": "/home/me", "HF_TOKEN": "hf_secret"}).images
    assert (images.docker_config, images.hub_token) == (Path("/home/me/.docker"), "hf_secret")
    assert "hf_secret" not in repr(images)
    (tmp_path / "hf-token").write_text("hf_other\n")
    images = loaded({**env, "DOCKER_CONFIG": "/etc/docker", "CREDENTIALS_DIRECTORY": str(tmp_path)}).images
    assert (images.docker_config, images.hub_token) == (Path("/etc/docker"), "hf_other")


@pytest.mark.parametrize("written", ["run/redis.sock", "run//redis.sock", "run/../run/redis.sock", "link"])
def test_the_address_of_its_own_queue_is_no_queue_of_others(
    env: dict[str, str], config: Path, tmp_path: Path, written: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run/redis.sock")
    own = f"unix://{tmp_path}/{written}"
    assert loaded({**env, "SPACEDOCK_REDIS_URL": own}).redis_url is None
    assert loaded(env, config, f"redis_url: {own}").redis_url is None
    assert loaded(env, redis_url=own).redis_url is None


@pytest.mark.parametrize("url", ["unix:///other.sock", "redis://h/redis.sock"])
def test_another_address_is_the_queue_that_it_joins(env: dict[str, str], url: str) -> None:
    assert loaded({**env, "SPACEDOCK_REDIS_URL": url}).redis_url == url


def test_a_redis_url_may_come_as_a_credential(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "redis-url").write_text("redis://:secret@h\n")
    assert loaded({**env, "CREDENTIALS_DIRECTORY": str(tmp_path)}).redis_url == "redis://:secret@h"


def test_the_workers_settings_survive_the_pipe(env: dict[str, str], config: Path) -> None:
    text = "models: [{name: a, base_url: 'http://h/v1', api_key: secret, accepts: [text, image]}]\n"
    worker = loaded(env, config, text).worker(None)
    assert type(worker).model_validate_json(as_line(worker)) == worker


def test_the_embedded_valkey_gets_an_eighth_of_this_hosts_memory(env: dict[str, str]) -> None:
    settings = loaded(env)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**28 <= settings.valkey_memory <= max(2**28, memory // 8)


def test_what_the_embedded_valkey_may_hold_is_no_containers(env: dict[str, str], config: Path) -> None:
    own = loaded(env, config, "queue_memory: 536870912\ncontainers: {memory_reserve: 1073741824}\n")
    assert own.valkey_memory == 2**29
    assert own.worker(None).containers.memory_reserve == 2**30 + 2**29
    other = loaded(env, config, "redis_url: redis://h\n")
    assert (other.valkey_memory, other.worker(None).containers.memory_reserve) == (0, 2**30)


def test_a_queue_that_could_hold_no_file_is_refused(env: dict[str, str], config: Path) -> None:
    assert "queue_memory" in refused(env, config, "queue_memory: 1000\n")


def test_how_long_what_is_kept_is_written_as_people_say_it(env: dict[str, str], config: Path) -> None:
    kept = loaded(env, config, "retention: {results: 7d, dead: 90m, private: 600}\n").retention
    assert (kept.results, kept.dead, kept.private) == (7 * 86_400, 5400, 600)


@pytest.mark.parametrize("value", ["soon", "31d", "0", "1s", "[]"])
def test_a_time_to_keep_that_is_none_is_refused(env: dict[str, str], config: Path, value: str) -> None:
    assert "retention.results" in refused(env, config, f"retention: {{results: {value}}}\n")


def test_a_bucket_without_its_library_is_refused(
    env: dict[str, str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spacedockd.settings.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"files.*hf-spacedock\[s3\]"):
        loaded(env, config, "files: s3://bucket/prefix")


@pytest.mark.parametrize("text", ["http: off\n", "http: false\n"])
def test_http_is_switched_off(env: dict[str, str], config: Path, text: str) -> None:
    assert loaded(env, config, text).http is None
    assert loaded({**env, "SPACEDOCK_HTTP": "off"}, config, "").http is None


def test_http_is_on_and_its_keys_are_checked(env: dict[str, str], config: Path) -> None:
    http = loaded({**env, "SPACEDOCK_HTTP__PORT": "9000"}, config, "http: {token: none}\n").http
    assert http is not None
    assert (http.host, http.port, http.token) == ("127.0.0.1", 9000, "none")
    assert "http.prot: is unknown" in refused(env, config, "http: {prot: 1}\n")
    assert "in the clear" in refused(env, config, "http: {host: 0.0.0.0}\n")
