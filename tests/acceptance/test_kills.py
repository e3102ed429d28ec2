"""A worker that is killed again and again under load leaves nothing behind, and loses no job."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiodocker import Docker
from tests.acceptance.running import OWNER_LABEL, SPACES
from tests.leftovers import own_instance

from spacedock import Client
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.settings import WorkerSettings
from spacedockd.worker_process import WorkerProcess

ROUNDS, MANY_ROUNDS = 2, 50
CLEAN_SECONDS = 10.0
JOBS_AHEAD = 12
NAMES = ("one", "two", "three", "four")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return MANY_ROUNDS if request.config.getoption("--all-versions") else ROUNDS


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> WorkerSettings:
    """A worker with four Spaces that serve and one that runs once per job, for two containers at a time."""
    # What others leave in /tmp meanwhile is no business of its worker.
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    serving = {"repository": str(SPACES / "openapi-sentiment"), "category": "kills"}
    once = {"repository": str(SPACES / "command-shout"), "category": "programs", "adapter": "command"}
    spaces = {name: {"id": name, **serving} for name in NAMES} | {"once": {"id": "once", **once}}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump({"spaces": spaces}))
    ca = os.environ.get("SSL_CERT_FILE")
    return WorkerSettings(
        redis_url=redis_url,
        registry=tmp_path / "registry.yaml",
        repositories=tmp_path / "repositories",
        state=tmp_path,
        images=ImageSettings(ca_bundle=Path(ca) if ca else None, scratch=tmp_path / "downloads"),
        containers=ContainerSettings(
            instance_id=own_instance(),
            max_containers=2,
            memory=256 * 2**20,
            state=tmp_path / "containers",
        ),
        drain_seconds=5.0,
        look_for_models=False,
    )


class Left:
    """What there is of this worker on the engine and on this host."""

    def __init__(self, docker: Docker, settings: WorkerSettings) -> None:
        self._docker, self._settings = docker, settings
        self.mounted: set[str] = set()
        """The volumes that its containers had when somebody looked."""

    async def containers(self) -> dict[str, str]:
        """The names of its containers, and their states."""
        filters = json.dumps({"label": [f"{OWNER_LABEL}={self._settings.containers.instance_id}"]})
        found = await self._docker.containers.list(all=True, filters=filters)
        self.mounted.update(mount["Name"] for c in found for mount in c["Mounts"] if mount.get("Name"))
        return {c["Names"][0].removeprefix("/"): c["State"] for c in found}

    async def networks(self) -> set[str]:
        """The names of its networks."""
        wanted = self._settings.containers.instance_id
        return {n["Name"] for n in await self._docker.networks.list() if wanted in n["Name"]}

    async def volumes(self) -> set[str]:
        """The volumes that its containers have or had, but for caches."""
        found: dict[str, Any] = await self._docker._query_json("volumes")
        there = {v["Name"] for v in found["Volumes"] or () if "-cache-" not in v["Name"]}
        return there & self.mounted

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look at its containers again and again: without them, a volume does not say whose it is."""

        async def look() -> None:
            while True:
                await self.containers()
                await asyncio.sleep(0.1)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def notes(self) -> set[str]:
        """The containers that were idle when somebody last wrote it down."""
        folder = self._settings.containers.state
        assert folder is not None
        return {path.name for path in (folder / "warm").glob("spacedock-*")}

    def files(self) -> list[Path]:
        """Files that ought not to outlive a worker."""
        folder = self._settings.images.scratch
        assert folder is not None
        return [*folder.rglob("*"), *Path(os.environ["TMPDIR"]).rglob("*")]


@asynccontextmanager
async def load(client: Client, dice: random.Random, submitted: list[str]) -> AsyncIterator[None]:
    """Jobs for Spaces at random, always some ahead of the worker."""

    async def submit() -> None:
        while True:
            ended = 0
            for number in range(JOBS_AHEAD):
                space = dice.choice((*NAMES, "once"))
                submitted.append(await client.submit(f"a fine day {number}", space=space, fallback="none"))
            async for _ in client.results(submitted[-JOBS_AHEAD:], keep=True):
                ended += 1
                if ended > JOBS_AHEAD // 2:
                    break

    submitting = asyncio.create_task(submit())
    try:
        yield
    finally:
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)


@pytest.mark.timeout(1200)
async def test_a_worker_killed_at_random_moments_leaves_nothing_and_ends_every_job(
    settings: WorkerSettings, rounds: int
) -> None:
    dice, submitted = random.Random(9), []
    async with Docker() as docker, Client(settings.redis_url) as client:
        left = Left(docker, settings)
        worker = WorkerProcess(settings)
        await worker.start()
        try:
            # The image is built before the first kill.
            await client.run("a fine day", space="one", fallback="none")
            files, cleaned = left.files(), list[float]()
            async with left.watched():
                async with load(client, dice, submitted):
                    while len(cleaned) < rounds or not (in_time(cleaned) or len(cleaned) >= rounds + 4):
                        await asyncio.sleep(dice.uniform(0.1, 3.0))
                        worker, seconds = await killed_and_replaced(worker, left, settings)
                        cleaned.append(seconds)
                        assert await left.networks() <= network_names(settings)
                        assert left.files() == files
                assert in_time(cleaned), cleaned
                results = [result async for result in client.results(submitted)]
            assert {result.state.value for result in results} == {"succeeded"}
            assert len(results) == len(submitted)
        finally:
            await worker.stop()
        assert await left.containers() == {}
        assert await left.networks() == set()
        assert any("-cache-" not in name for name in left.mounted)
        assert await left.volumes() == set()
        await remove_caches(docker, settings)


def in_time(cleaned: list[float]) -> bool:
    """Whether most rounds were clean in time; what else the machine does makes some of them late."""
    return statistics.median(cleaned) < CLEAN_SECONDS


async def killed_and_replaced(
    worker: WorkerProcess, left: Left, settings: WorkerSettings
) -> tuple[WorkerProcess, float]:
    """Kill the worker, start the next, and tell after how many seconds only what was idle has stayed."""
    assert worker._process is not None
    worker._process.send_signal(signal.SIGKILL)
    await worker.ended()
    before, idle = await left.containers(), left.notes()
    following = WorkerProcess(settings)
    await following.start()
    began = time.perf_counter()
    # The engine has no word for "all has been removed".
    while (before.keys() & (await left.containers()).keys()) - idle:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return following, time.perf_counter() - began


def network_names(settings: WorkerSettings) -> set[str]:
    """The networks that a worker may have while it runs."""
    name = f"spacedock-{settings.containers.instance_id}"
    return {name, f"{name}-sealed", f"{name}-builds"}


async def remove_caches(docker: Docker, settings: WorkerSettings) -> None:
    """Remove the Spaces' caches, which outlive their daemon by intention."""
    filters = json.dumps({"label": [f"{OWNER_LABEL}={settings.containers.instance_id}"]})
    found: dict[str, Any] = await docker._query_json("volumes", params={"filters": filters})
    for volume in found["Volumes"] or ():
        async with docker._query(f"volumes/{volume['Name']}", method="DELETE"):
            pass
