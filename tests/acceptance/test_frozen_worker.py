"""A worker whose event loop answers no more is replaced, and whoever held the loop is charged with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from redis.asyncio import Redis
from tests.acceptance.running import OWNER_LABEL, SPACES
from tests.integration.queue.workers import until
from tests.leftovers import own_instance

from spacedock import Client
from spacedock._wire import keys
from spacedock._wire.connection import answer, connect
from spacedock_worker import witness
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.settings import WorkerSettings
from spacedockd import worker_process
from spacedockd.pulse import Patience, Pulse
from spacedockd.worker_process import WorkerProcess

SOON = Patience(doubt=1.5, frozen=3.0)

# Every job holds the loop, and the interpreter's lock with it.
HOLDING = """
import re
from spacedock_worker import __main__
from spacedock_worker.jobs.handler import JobHandler
async def handle(self, job, tell):
    re.match("(a|a)*b", "a" * 60)
JobHandler.handle = handle
__main__.main()
"""


# Every job is executed, and never ends. The kernel counts what it kills on the whole machine, also in the
# containers of other tests: here it has counted nothing.
EXECUTING = """
import asyncio
from spacedock_worker import __main__, witness
witness.kernel_kills = lambda: "boot 0"
from spacedock_worker.jobs.handler import JobHandler
async def handle(self, job, tell):
    await job.at_work(True)
    await asyncio.Event().wait()
JobHandler.handle = handle
__main__.main()
"""


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> WorkerSettings:
    """A worker with one Space."""
    space = {"id": "calm", "repository": str(SPACES / "hostile-gradio"), "category": "calm"}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump({"spaces": {"calm": space}}))
    ca = os.environ.get("SSL_CERT_FILE")
    return WorkerSettings(
        redis_url=redis_url,
        registry=tmp_path / "registry.yaml",
        repositories=tmp_path / "repositories",
        state=tmp_path,
        images=ImageSettings(ca_bundle=Path(ca) if ca else None, scratch=tmp_path / "downloads"),
        containers=ContainerSettings(
            instance_id=own_instance(), memory=256 * 2**20, state=tmp_path / "containers"
        ),
        drain_seconds=5.0,
        look_for_models=False,
    )


def containers(settings: WorkerSettings) -> list[str]:
    """The ids of the worker's containers."""
    owner = f"label={OWNER_LABEL}={settings.containers.instance_id}"
    command = ["docker", "ps", "--all", "--quiet", "--filter", owner]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


async def test_the_job_that_holds_the_loop_is_charged_with_the_workers_death(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "COMMAND", (sys.executable, "-c", HOLDING))
    worker = WorkerProcess(settings, Pulse(SOON))
    await worker.start()
    try:
        async with Client(settings.redis_url) as client, connect(settings.redis_url) as redis:
            job_id = await client.submit("hold the loop")
            assert await worker.ended() == -signal.SIGKILL
            accused = [await redis.get(key) async for key in redis.scan_iter(match=keys.accused("*"))]
            assert accused == [job_id.encode()]
    finally:
        await worker.stop()


def networks(settings: WorkerSettings) -> list[str]:
    """The names of the worker's networks."""
    named = f"name={settings.containers.network_name}"
    command = ["docker", "network", "ls", "--format", "{{.Name}}", "--filter", named]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


async def test_a_killed_workers_containers_and_networks_are_removed(settings: WorkerSettings) -> None:
    worker = WorkerProcess(settings, Pulse(SOON))
    await worker.start()
    try:
        async with Client(settings.redis_url) as client, connect(settings.redis_url) as redis:
            result = await client.run("harmless", space="calm", endpoint="/text", fallback="none")
            assert result.output.text == "well", result.error
            assert len(containers(settings)) == 1
            assert networks(settings)
            assert worker._process is not None
            worker._process.send_signal(signal.SIGSTOP)
            assert await worker.ended() == -signal.SIGKILL
            # Nothing ran just then: nobody is to blame.
            assert [key async for key in redis.scan_iter(match=keys.accused("*"))] == []
    finally:
        await worker.stop()
    assert containers(settings) == networks(settings) == []


@pytest.mark.parametrize(
    ("signum", "memory", "seen"),
    [
        (signal.SIGKILL, False, True),
        (signal.SIGKILL, False, False),
        (signal.SIGKILL, True, True),
        (signal.SIGSEGV, False, True),
    ],
)
async def test_a_worker_that_somebody_killed_is_charged_to_no_job(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch, signum: int, memory: bool, seen: bool
) -> None:
    """Also where no daemon has seen it; but a job makes the kernel lack memory, or code of its own crash."""
    charged = memory or signum != signal.SIGKILL
    monkeypatch.setattr(worker_process, "COMMAND", (sys.executable, "-c", EXECUTING))
    monkeypatch.setattr(witness, "kernel_kills", lambda: f"boot {int(memory)}")
    worker = WorkerProcess(settings)
    await worker.start()
    try:
        async with Client(settings.redis_url) as client, connect(settings.redis_url) as redis:
            job_id = await client.submit("be executed")
            for _ in range(6):
                await until(lambda: executed(redis, job_id, worker))
                assert worker._process is not None
                worker._process.send_signal(signum)
                if seen:
                    assert await worker.ended() == -signum
                else:
                    await worker._process.wait()
                await worker.start()
                if charged:
                    break
            await until(lambda: executed(redis, job_id, worker))
            deaths = await answer(redis.hget(keys.job(job_id), "deaths"))
            assert len((deaths or b"").split()) == charged
    finally:
        await worker.stop()


async def executed(redis: Redis, job_id: str, worker: WorkerProcess) -> bool:
    """Whether that worker executes the job now."""
    assert worker._process is not None
    state, waits, holder = await answer(redis.hmget(keys.job(job_id), "state", "waits", "worker"))
    return state == b"running" and waits is None and f"-{worker._process.pid}-" in (holder or b"").decode()
