"""The real engine, a base image with Python, and settings of an instance of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.integration.containers.parts import SERVE
from tests.leftovers import own_instance

from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def settings() -> ContainerSettings:
    return ContainerSettings(instance_id=own_instance(), start_timeout=60, stopped_seconds=0)


@pytest.fixture
def spec(base: str) -> Callable[..., ContainerSpec]:
    def make(space: str, command: tuple[str, ...] = SERVE, **more: object) -> ContainerSpec:
        return ContainerSpec(space, base, "sha256:test", command=command, **more)  # type: ignore[arg-type]

    return make
