"""What containers are given of this host, on the real engine: networks, caches, GPUs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.containers.parts import answers, listing, silent

from spacedock.result import ErrorKind, Stage
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.create_body import ContainerLimits, Site, create_body
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.containers.docker.task import Completed, Task
from spacedock_worker.containers.docker.volumes import Caches, volume_name
from spacedock_worker.containers.machine.resources import HostResources
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError

CACHE = "/home/user/.cache/huggingface"


@pytest.fixture
async def caches(engine: Engine, settings: ContainerSettings) -> AsyncIterator[Caches]:
    yield Caches(engine, settings.instance_id, set())
    held = Inventory(engine, settings.instance_id)
    for cache in await held.caches():
        await held.remove_cache(cache.name)


@pytest.fixture
def held(engine: Engine, settings: ContainerSettings) -> Inventory:
    return Inventory(engine, settings.instance_id)


async def sizes(held: Inventory) -> dict[str, int]:
    return {cache.space: cache.size for cache in await held.caches()}


async def remove(held: Inventory, space: str) -> None:
    await held.remove_cache(volume_name(held.owner, space))


@pytest.fixture
async def pool(engine: Engine, settings: ContainerSettings, caches: Caches) -> AsyncIterator[Pool]:
    async with Pool(engine, settings) as pool:
        yield pool


@pytest.fixture
async def resources(engine: Engine, settings: ContainerSettings) -> AsyncIterator[HostResources]:
    resources = HostResources(engine, settings, set())
    yield resources
    await resources.leave()


@pytest.fixture
def shell(spec: Callable[..., ContainerSpec]) -> Callable[..., ContainerSpec]:
    """A shell's command, in a container with a cache."""

    def make(command: str, space: str = "mood", **more: object) -> ContainerSpec:
        return spec(space, ("sh", "-c", command), **{"cache": CACHE, "read_only": True, **more})

    return make


async def run(pool: Pool, spec: ContainerSpec) -> Completed:
    return await pool.complete(spec, Task(timeout=60), silent)


async def test_a_cache_outlives_its_container_also_under_a_read_only_root(pool, caches, held, shell) -> None:
    assert (await run(pool, shell(f"echo kept > {CACHE}/weights"))).exit_code == 0
    assert (await run(pool, shell(f"cat {CACHE}/weights"))).stdout.data == b"kept\n"
    assert await sizes(held) == {"mood": 4096}


async def test_no_space_sees_anothers_cache(pool, caches, shell) -> None:
    await run(pool, shell(f"echo kept > {CACHE}/weights"))
    assert (await run(pool, shell(f"ls {CACHE}", space="another"))).stdout.data == b""


async def test_a_private_container_can_only_read_its_cache(pool, caches, shell) -> None:
    await run(pool, shell(f"echo kept > {CACHE}/weights"))
    private = shell(f"cat {CACHE}/weights; echo asked > {CACHE}/asked", private=True)
    completed = await run(pool, private)
    assert completed.stdout.data == b"kept\n"
    assert b"Read-only file system" in completed.stderr.data


async def test_what_the_image_has_there_is_in_a_new_cache(pool, caches, shell) -> None:
    listed = await run(pool, shell("ls /srv/x /var/lib/dpkg", cache="/var/lib/dpkg"))
    assert b"status" in listed.stdout.data
    # It is the app's from then on.
    assert (await run(pool, shell("touch /var/lib/dpkg/mine", cache="/var/lib/dpkg"))).exit_code == 0


async def test_a_cache_in_use_stays(pool, caches, held, spec) -> None:
    async with pool.lease(spec("mood", cache=CACHE), answers, silent):
        with pytest.raises(EngineRefusedError, match=r"in use|being used"):
            await remove(held, "mood")
    await pool.close()
    await remove(held, "mood")
    await remove(held, "mood")
    assert await sizes(held) == {}


async def test_a_cache_that_somebody_removed_is_made_again(pool, caches, held, shell) -> None:
    keep = shell(f"echo kept > {CACHE}/weights")
    await run(pool, keep)
    await pool.settled()
    await remove(held, "mood")
    assert (await run(pool, keep)).exit_code == 0
    assert await sizes(held) == {"mood": 4096}


async def test_making_a_cache_leaves_no_container(engine, settings, caches, shell) -> None:
    assert await caches.ensure(shell("true")) == await caches.ensure(shell("true"))
    assert await listing(engine, settings.instance_id) == []


async def test_a_program_that_cannot_write_its_root_runs_again_with_one_that_it_can(pool, shell) -> None:
    stubborn = shell("touch /var/tmp/x && mkdir /var/lib/x || exit 3", cache=None)
    completed = await run(pool, stubborn)
    # The second time, only its user keeps it from that.
    assert (completed.exit_code, b"Permission denied" in completed.stderr.data) == (3, True)
    resources = pool._starter.resources
    assert not resources.as_started(stubborn).read_only
    # Another Space that names the image keeps the wall.
    assert resources.as_started(replace(stubborn, space="other")).read_only


async def test_a_root_that_its_entry_closes_is_never_opened(pool, shell) -> None:
    closed = shell("mkdir /var/lib/x || exit 3", cache=None, fixed_root=True)
    for _ in range(2):
        completed = await run(pool, closed)
        assert (completed.exit_code, b"Read-only file system" in completed.stderr.data) == (3, True)
    assert pool._starter.resources.as_started(replace(closed, fixed_root=False)).read_only


async def networks(engine: Engine, names: set[str]) -> dict[str, Any]:
    async with engine.call(Stage.CALL) as docker:
        return {n["Name"]: n for n in await docker.networks.list() if n["Name"] in names}


async def test_each_daemon_has_a_network_with_and_one_without_a_way_out(engine, resources, spec) -> None:
    if (await engine.dialect(Stage.CALL)).podman:
        pytest.skip("Podman gives each container a network of its own")
    names = {(await resources.site(spec("one", sealed=sealed), "one")).network for sealed in (False, True)}
    found = await networks(engine, names)
    assert {name.endswith("-sealed"): network["Internal"] for name, network in found.items()} == {
        False: False,
        True: True,
    }
    assert all(n["Options"] == {"com.docker.network.bridge.enable_icc": "false"} for n in found.values())
    await resources.leave()
    assert await networks(engine, names) == {}


async def test_a_network_with_a_way_out_is_not_taken_for_a_sealed_one(engine: Engine) -> None:
    name = f"spacedock-test-{secrets.token_hex(4)}"
    way_out, impostor = Network(engine, name), Network(engine, name, sealed=True)
    await way_out.ensure()
    try:
        with pytest.raises(StepError, match="has a way out") as caught:
            await impostor.ensure()
        assert caught.value.kind is ErrorKind.START_FAILED
    finally:
        await way_out.remove()


async def test_a_sealed_app_whose_port_must_be_published_is_refused(engine, settings, spec) -> None:
    resources = HostResources(engine, settings.model_copy(update={"publish_ports": True}), set())
    with pytest.raises(StepError, match="cannot be sealed here") as caught:
        await resources.site(spec("one", sealed=True), "one")
    assert (caught.value.stage, caught.value.kind) == (Stage.START, ErrorKind.UNSUPPORTED)


async def test_what_a_private_app_prints_is_kept_in_no_log(engine, settings, pool, spec) -> None:
    async with pool.lease(spec("one", private=True), answers, silent):
        [container] = await listing(engine, settings.instance_id)
        assert (await container.show())["HostConfig"]["LogConfig"]["Type"] == "none"


async def test_gpus_that_the_engine_cannot_give_are_refused(engine, settings, spec) -> None:
    if (await engine.dialect(Stage.START)).podman:
        pytest.skip("Podman ignores what it cannot give, so it is asked for no GPU")
    container = RunningContainer(engine, f"spacedock-{settings.instance_id}")
    site = Site(settings.instance_id, "none", gpus=("GPU-none",))
    await container.create(create_body(spec("one"), ContainerLimits(2**28, 64, 2**24), site))
    try:
        with pytest.raises(EngineRefusedError, match=r"could not select device driver|nvidia"):
            await container.start()
    finally:
        await container.remove()


async def test_gpus_that_are_not_there_are_refused(resources: HostResources, spec) -> None:
    with pytest.raises(StepError, match="GPU-none, which this host does not have") as caught:
        await resources.site(replace(spec("one"), gpu=("GPU-none",)), "one")
    assert (caught.value.stage, caught.value.kind) == (Stage.START, ErrorKind.UNSUPPORTED)
