"""What Spaces may write to the disk, on the real engine: nothing to their root, or so much and no more."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from tests.integration.containers.parts import answers, listing, silent

from spacedock.result import ErrorKind, Stage
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.task import Completed, Task
from spacedock_worker.containers.docker.volumes import volume_name
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.pool.usage_watch import disk_bytes
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError

MB = 2**20
DISK = 24 * MB
CACHE = "/home/user/.cache"

FILL = """
import time
def fill(folder):
    with open(f"{folder}/full", "wb") as file:
        # 2 GB: a guard that fails must not cost this host its disk.
        for _ in range(2**15):
            file.write(b"x" * 2**16)
            file.flush()
    time.sleep(600)
"""
FILES = """
import itertools, os
def files(folder):
    for number in itertools.count():
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY))
"""
# Where paths are too long to be named.
BURROW = """
import os
def burrow(folder):
    os.chdir(folder)
    for _ in range(3000):
        os.mkdir("deeper")
        os.chdir("deeper")
    fill(".")
"""
WAYS = FILL + FILES + BURROW


@pytest.fixture
async def pool(engine: Engine, settings: ContainerSettings) -> AsyncIterator[Pool]:
    async with Pool(engine, settings.model_copy(update={"disk": DISK})) as pool:
        yield pool


@pytest.fixture
def python(spec: Callable[..., ContainerSpec]) -> Callable[..., ContainerSpec]:
    """A program of Python's."""

    def make(code: str, **more: object) -> ContainerSpec:
        return spec("greedy", ("python3", "-c", WAYS + code), **more)

    return make


async def run(pool: Pool, spec: ContainerSpec) -> Completed:
    return await pool.complete(spec, Task(timeout=60), silent)


@pytest.mark.parametrize("way", ["fill('/var/tmp')", "files('/var/tmp')", "burrow('/var/tmp')"])
async def test_a_root_that_can_be_written_is_bounded(pool: Pool, python, way: str) -> None:
    with pytest.raises(StepError, match=r"more than the 24 MB that `containers.disk` allows") as caught:
        await run(pool, python(way, read_only=False))
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.OUT_OF_DISK)


async def test_a_programs_workspace_is_bounded(pool: Pool, python) -> None:
    with pytest.raises(StepError) as caught:
        await run(pool, python("fill('/workspace/output')", read_only=True))
    assert caught.value.kind is ErrorKind.OUT_OF_DISK


async def test_an_app_that_fills_its_cache_is_killed(pool: Pool, engine: Engine, settings, spec) -> None:
    serve = "import threading, http.server as h\n"
    serve += f"threading.Thread(target=fill, args=('{CACHE}',)).start()\n"
    serve += "h.HTTPServer(('', 7860), h.SimpleHTTPRequestHandler).serve_forever()"
    greedy = spec("greedy", ("python3", "-c", WAYS + serve), read_only=True, cache=CACHE)
    async with pool.lease(greedy, answers, silent) as lease:
        error = await lease.wait_dead()
    assert error.kind is ErrorKind.OUT_OF_DISK
    await pool.settled()
    assert await listing(engine, settings.instance_id) == []
    held = Inventory(engine, settings.instance_id)
    (cache,) = await held.caches()
    assert cache.size > DISK
    await held.remove_cache(cache.name)


@pytest.fixture
async def voluminous(engine: Engine, base: str) -> AsyncIterator[str]:
    """An image that declares a volume of its own, which anybody may write to."""
    name = f"test-volume-{secrets.token_hex(4)}"
    body = {"Image": base, "Cmd": ["mkdir", "--mode", "777", "/data"]}
    async with engine.call(Stage.START, 60) as docker:
        made = await docker.containers.create(body)
        await made.start()
        await made.wait()
        await made.commit(repository=name, tag="1", changes="VOLUME /data")
        await made.delete(force=True)
    yield f"{name}:1"
    async with engine.call(Stage.START, 60) as docker:
        await docker.images.delete(f"{name}:1", force=True)


@pytest.mark.parametrize(
    "walls", [{"private": True, "sealed": True, "cache": CACHE}, {}], ids=["private", "own"]
)
async def test_a_volume_that_an_image_declares_is_bounded(
    pool: Pool, engine: Engine, settings, spec, voluminous: str, walls: dict[str, object]
) -> None:
    serve = "import threading, http.server as h\n"
    serve += "threading.Thread(target=fill, args=('/data',)).start()\n"
    serve += "h.HTTPServer(('', 7860), h.SimpleHTTPRequestHandler).serve_forever()"
    greedy = spec("greedy", ("python3", "-c", WAYS + serve), read_only=True, **walls)
    async with pool.lease(replace(greedy, reference=voluminous), answers, silent) as lease:
        error = await lease.wait_dead()
    assert error.kind is ErrorKind.OUT_OF_DISK
    await pool.settled()
    if "cache" in walls:
        await Inventory(engine, settings.instance_id).remove_cache(
            volume_name(settings.instance_id, "greedy")
        )


async def test_a_read_only_root_takes_nothing(engine: Engine, settings, spec) -> None:
    async with (
        Pool(engine, settings) as pool,
        pool.lease(spec("one", read_only=True), answers, silent),
    ):
        [container] = await listing(engine, settings.instance_id)
        assert await disk_bytes(engine, container["Names"][0].removeprefix("/"), DISK) == 0


async def test_folders_in_memory_are_full_at_their_size(engine: Engine, settings, python) -> None:
    small = settings.model_copy(update={"tmp_size": 16 * MB})
    code = """
import errno, json, os
def full(folder):
    try:
        fill(folder)
    except OSError as error:
        return os.path.getsize(f"{folder}/full"), errno.errorcode[error.errno]
print(json.dumps([full(folder) for folder in ("/tmp", "/var/tmp", "/dev/shm")]))
"""
    async with Pool(engine, small) as pool:
        completed = await run(pool, python(code, read_only=True, memory=512 * MB))
    assert json.loads(completed.stdout.data) == [[size * MB, "ENOSPC"] for size in (16, 64, 64)]
