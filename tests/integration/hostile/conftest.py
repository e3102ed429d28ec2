"""The hostile Spaces of tests/spaces/hostile-*, on the real engine and within the walls of every Space."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.leftovers import own_instance

from spacedock_worker.adapters.base import Adapter, AppAnswer, AppCall
from spacedock_worker.adapters.command import answer_of, task_of
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.lease import Lease
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

SPACES = Path(__file__).parent.parent.parent / "spaces"

Attacks = dict[str, dict[str, Any]]
"""Attacks by name, with the arguments of each."""

Attack = Callable[..., Awaitable[AppAnswer]]
Serving = Callable[..., AbstractAsyncContextManager[Lease[Adapter]]]


def silent(message: str, partial: str | None = None) -> None:
    pass


def narrow() -> ContainerSettings:
    """Settings of an instance of the test's own, with limits that are soon reached."""
    return ContainerSettings(
        instance_id=own_instance(),
        memory=256 * 2**20,
        pids=128,
        tmp_size=16 * 2**20,
        stopped_seconds=0,
    )


async def spec_of(engine: Engine, kind: str, **more: Any) -> ContainerSpec:
    """The container of tests/spaces/hostile-<kind>, which is built once for all tests."""
    name = f"hostile-{kind}"
    source = SpaceSource(name=name, repository=SPACES / name)
    image = await Images(engine, ImageSettings()).get(source, silent)
    made = ContainerSpec(name, image.reference, image.digest, image.command, image.port)
    return replace(made, **more)


async def attacked(engine: Engine, pool: Pool[Adapter], attacks: Attacks, **more: Any) -> AppAnswer:
    """What the hostile program answers that makes the attacks in turn; `more` is of its container."""
    spec = await spec_of(engine, "program", **more)
    task = task_of(AppCall(json.dumps(attacks)), 60.0)
    return answer_of(await pool.complete(spec, task, silent))


@asynccontextmanager
async def serve(engine: Engine, pool: Pool[Adapter], **more: Any) -> AsyncIterator[Lease[Adapter]]:
    """The hostile server, running; `more` is of its container."""
    spec = await spec_of(engine, "server", **more)
    connect = Opener().connect_to(spec.digest, Access(kind="openapi"))
    async with pool.lease(spec, connect, silent) as lease:
        yield lease


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def settings() -> ContainerSettings:
    return narrow()


@pytest.fixture
async def pool(engine: Engine, settings: ContainerSettings) -> AsyncIterator[Pool[Adapter]]:
    pool: Pool[Adapter]
    async with Pool(engine, settings) as pool:
        yield pool


@pytest.fixture
def attack(engine: Engine, pool: Pool[Adapter]) -> Attack:
    """`await attack({"resolve": {"names": ["a.example"]}}, sealed=True)` makes one program's attacks."""

    async def run(attacks: Attacks, **more: Any) -> AppAnswer:
        return await attacked(engine, pool, attacks, **more)

    return run


@pytest.fixture
def serving(engine: Engine, pool: Pool[Adapter]) -> Serving:
    """`async with serving(sealed=True) as lease` has the hostile server running."""
    return partial(serve, engine, pool)
