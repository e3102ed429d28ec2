"""Logins at real image registries: by name and password, and by a token server; from wherever they come."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.image_registry import docker, image_registry, put
from tests.served import served
from tests.token_server import TokenServer

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

PASSWORD = "open-sesame"
HASHED = "$2b$04$Rf8uRtSi6gmEee4nQl9BU.WC1QWHfCnygTdx7z6bsrf0PhXqw6BMW"
IDENTITY = "an-identity-token"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image registry that wants the password above, of `user`."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "htpasswd").write_text(f"user:{HASHED}\n")
    auth = f"auth: {{htpasswd: {{realm: basic-realm, path: '{folder}/htpasswd'}}}}\n"
    with image_registry(folder, auth) as address:
        yield address


@pytest.fixture
def pushed(registry: str, tmp_path: Path) -> Iterator[str]:
    reference = f"{registry}/private-space:latest"
    put(reference, config=logins(tmp_path / "pushing", registry))
    yield reference
    docker("image", "rm", "--force", reference)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


def logins(folder: Path, registry: str, password: str = PASSWORD) -> Path:
    """A folder with the config.json that `docker login` writes."""
    auth = base64.b64encode(f"user:{password}".encode()).decode()
    return configured(folder, auths={registry: {"auth": auth}})


def configured(folder: Path, **config: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def helper(folder: Path, name: str, *lines: str) -> None:
    """A credential helper on the path."""
    program = folder / f"docker-credential-{name}"
    program.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    program.chmod(0o755)


async def pulled(engine: Engine, reference: str, **settings: object) -> str:
    image = await Images(engine, ImageSettings(**settings)).get(  # type: ignore[arg-type]
        SpaceSource("space", docker_image=reference), lambda _: None
    )
    return image.reference


async def refused(engine: Engine, reference: str, **settings: object) -> str:
    with pytest.raises(StepError) as caught:
        await pulled(engine, reference, **settings)
    assert (caught.value.stage, caught.value.kind) == (Stage.PULL, ErrorKind.PULL_FAILED)
    return str(caught.value)


async def test_without_a_login_it_says_how_to_log_in(engine: Engine, pushed: str, registry: str) -> None:
    said = await refused(engine, pushed)
    assert f"`docker login {registry}`" in said
    assert "only with a login" in said


async def test_a_docker_login_opens_it(engine: Engine, pushed: str, registry: str, tmp_path: Path) -> None:
    config = logins(tmp_path / "docker", registry)
    assert await pulled(engine, pushed, docker_config=config) == pushed


async def test_a_login_that_is_refused_is_said_and_not_shown(
    engine: Engine, pushed: str, registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = logins(tmp_path / "docker", registry, "a-wrong-secret")
    said = await refused(engine, pushed, docker_config=config)
    assert "refuses the login" in said
    shown = said + "".join(capsys.readouterr())
    assert "a-wrong-secret" not in shown
    assert base64.b64encode(b"user:a-wrong-secret").decode() not in shown


async def test_the_hubs_token_goes_to_the_hubs_registry_alone(
    engine: Engine, pushed: str, registry: str
) -> None:
    assert "only with a login" in await refused(engine, pushed, hub_token=PASSWORD)
    assert await pulled(engine, pushed, hub_token=PASSWORD, hub_registry=registry) == pushed
    docker("image", "rm", "--force", pushed)
    said = await refused(engine, pushed, hub_token="hf_wrong", hub_registry=registry)
    assert "HF_TOKEN" in said
    assert "hf_wrong" not in said


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
async def test_a_credential_helper_opens_it(
    engine: Engine, pushed: str, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    secret = json.dumps({"Username": "user", "Secret": PASSWORD})
    helper(tmp_path, "test", f'[ "$1 $(cat)" = "get {registry}" ] && echo \'{secret}\'')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config = configured(tmp_path / "docker", **{key: {registry: "test"} if key == "credHelpers" else "test"})
    assert await pulled(engine, pushed, docker_config=config) == pushed


@pytest.mark.parametrize("lines", [["exit 1"], ["echo nonsense"], ["echo '{}'"], None])
async def test_a_credential_helper_that_fails_counts_as_no_login(
    engine: Engine,
    pushed: str,
    registry: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str] | None,
) -> None:
    if lines:
        helper(tmp_path, "broken", *lines)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config = configured(tmp_path / "docker", credsStore="broken")
    assert "only with a login" in await refused(engine, pushed, docker_config=config)


async def test_a_token_server_gives_what_the_login_opens(engine: Engine, tmp_path: Path) -> None:
    """The registry is real and checks the signature; the server of its tokens is ours."""
    tokens = TokenServer(tmp_path, PASSWORD, IDENTITY)
    folder = tmp_path / "registry"
    folder.mkdir()
    async with served(tokens.handle) as address:
        with image_registry(folder, tokens.configuration(address)) as registry:
            reference = f"{registry}/token-space:latest"
            own = logins(tmp_path / "own", registry)
            wrong = logins(tmp_path / "wrong", registry, "wrong")
            # It asks the server here, which must not be held up.
            await asyncio.to_thread(put, reference, config=own)
            assert "only with a login" in await refused(engine, reference)
            assert "refuses the login" in await refused(engine, reference, docker_config=wrong)
            tokens.asked.clear()
            assert await pulled(engine, reference, docker_config=own) == reference
            assert tokens.asked[0] == "GET repository:token-space:pull"
            docker("image", "rm", "--force", reference)
            identity = configured(tmp_path / "id", auths={registry: {"identitytoken": IDENTITY}})
            tokens.asked.clear()
            assert await pulled(engine, reference, docker_config=identity) == reference
            assert tokens.asked[0] == "POST repository:token-space:pull"
            docker("image", "rm", "--force", reference)
