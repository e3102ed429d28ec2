"""What strangers send under others' names: a raw Redis client against a real daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import SPACES, Daemon

from spacedock import SyncClient
from spacedock._wire import keys
from spacedock.errors import BadRequestError, WireError
from spacedock.files import Payload, payload_of
from spacedock.prepare import pack
from spacedock.result import ErrorKind

NAME = "openapi-sentiment"
SPACE_LABEL = "io.spacedock.space"


@pytest.fixture(scope="module")
def daemon(make_daemon: StartDaemon) -> Daemon:
    """A daemon whose registry has a Space with a secret, and no way out."""
    daemon = make_daemon(start=False)
    daemon.env["TOKEN_OF_THE_HOST"] = "xyzzy-secret"
    fields = {"repository": str(SPACES / NAME), "secrets": {"TOKEN": {"env": "TOKEN_OF_THE_HOST"}}}
    entry = {"id": NAME, "input_type": "text", "output_type": "text", "network": False, **fields}
    (daemon.folder / "registry.yaml").write_text(yaml.safe_dump({"spaces": {NAME: entry}}))
    daemon.start()
    return daemon


def raw(daemon: Daemon) -> redis.Redis:
    return redis.Redis(unix_socket_path=f"{daemon.folder}/run/redis.sock")


def overwritten(daemon: Daemon, payload: Payload, other: bytes) -> None:
    with raw(daemon) as attacker:
        attacker.set(keys.payload(payload.ref.place), other)


def containers(daemon: Daemon) -> dict[str, dict[str, Any]]:
    found = subprocess.run(
        ["docker", "inspect", *daemon.containers()], capture_output=True, text=True, check=True
    )
    return {one["Config"]["Labels"][SPACE_LABEL]: one for one in json.loads(found.stdout)}


def volumes(one: dict[str, Any]) -> list[str]:
    return [mount["Name"] for mount in one["Mounts"] if mount["Type"] == "volume"]


def test_a_directory_of_a_registered_spaces_name_shares_nothing_with_it(
    daemon: Daemon, tmp_path: Path
) -> None:
    ran = daemon.spacedock("run", "I love it", "--space", NAME, "--json")
    assert ran.code == 0, ran.err
    shutil.copytree(SPACES / NAME, tmp_path / NAME)
    (tmp_path / NAME / "more.txt").write_text("another content")
    ran = daemon.spacedock("run", "I hate it", "--space", tmp_path / NAME, "--json")
    assert ran.code == 0, ran.err
    found = containers(daemon)
    theirs, own = found.pop(NAME), found.popitem()
    assert own[0].startswith(f"./{NAME}@")
    assert (len(volumes(theirs)), volumes(own[1])) == (1, [])
    assert "TOKEN=xyzzy-secret" in theirs["Config"]["Env"]
    assert "xyzzy" not in json.dumps(own[1])
    with SyncClient(daemon.url) as client:
        (image,) = client.spaces.profile(NAME)["images"]
    assert (image["runs"], image["digest"]) == (1, theirs["Image"])


def test_a_second_daemon_mounts_and_cleans_nothing_of_the_first(
    daemon: Daemon, make_daemon: StartDaemon
) -> None:
    before = containers(daemon)[NAME]
    second = make_daemon()
    ran = second.spacedock("run", "a good day", "--space", NAME, "--json")
    assert ran.code == 0, ran.err
    theirs = containers(second)[NAME]
    assert len({*volumes(before), *volumes(theirs)}) == 2
    assert "xyzzy" not in json.dumps(theirs)
    second.declare(NAME, None)
    second.spacedock("cleanup", "--older-than", "0", "--images")
    assert containers(daemon)[NAME]["Id"] == before["Id"]
    assert daemon.spacedock("run", "a good day", "--space", NAME).code == 0
    (cache,) = volumes(containers(daemon)[NAME])
    assert subprocess.run(["docker", "volume", "inspect", cache], stdout=subprocess.DEVNULL).returncode == 0


def test_a_repository_that_was_overwritten_in_redis_does_not_run(daemon: Daemon) -> None:
    sent = pack(SPACES / "static")
    overwritten(daemon, sent, pack(SPACES / NAME).data)
    with SyncClient(daemon.url) as client:
        result = client.result(client.submit("x", space=str(SPACES / "static")))
    assert result.error is not None
    assert result.error.kind is ErrorKind.BAD_INPUT
    assert "was overwritten in Redis" in result.error.message


def test_a_file_that_was_overwritten_in_redis_reaches_no_space(daemon: Daemon, tmp_path: Path) -> None:
    sent = payload_of("note.txt", b"the note")
    (tmp_path / "note.txt").write_bytes(sent.data)
    overwritten(daemon, sent, b"the lie!")
    with SyncClient(daemon.url) as client:
        result = client.result(client.submit("x", files=[tmp_path / "note.txt"], space=NAME))
        with pytest.raises(WireError, match="was overwritten in Redis"):
            client.fetch(sent.ref)
    assert result.attempts[0].error is not None
    assert "was overwritten in Redis" in result.attempts[0].error.message


def test_a_registered_spaces_code_cannot_be_replaced_through_redis(daemon: Daemon) -> None:
    before = (daemon.folder / "registry.yaml").read_text()
    mine, evil = pack(SPACES / "static"), pack(SPACES / "mood")
    overwritten(daemon, mine, evil.data)
    with SyncClient(daemon.url) as client:
        with pytest.raises(BadRequestError, match="was overwritten in Redis"):
            client.spaces.add("static-page", {}, mine)
        for entry, repository in (({}, evil), ({"docker_image": "evil:1"}, None), ({"network": True}, None)):
            with pytest.raises(BadRequestError, match="has secrets or a login"):
                client.spaces.add(NAME, entry, repository, replace=True)
    assert (daemon.folder / "registry.yaml").read_text() == before
    stored = daemon.folder / "state" / "repositories" / f"{mine.ref.sha256}.tar"
    assert not stored.exists()
