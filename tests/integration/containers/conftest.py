"""The real engine, a base image with Python, and settings of an instance of the test's own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

import pytest
from tests.integration.containers.parts import SERVE

from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.images.build.flavours import choose_base


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
async def base(engine: Engine) -> str:
    """A base image with Python that is on this host."""
    async with engine.call(Stage.START) as docker:
        listed = await docker.images.list()
    return choose_base(None, {}, {tag for image in listed for tag in image["RepoTags"] or ()})


@pytest.fixture
def settings() -> ContainerSettings:
    return ContainerSettings(instance_id=f"test-{secrets.token_hex(6)}", start_timeout=60, stopped_seconds=0)


@pytest.fixture
def spec(base: str) -> Callable[..., ContainerSpec]:
    def make(space: str, command: tuple[str, ...] = SERVE, **more: object) -> ContainerSpec:
        return ContainerSpec(space, base, "sha256:test", command=command, **more)  # type: ignore[arg-type]

    return make
