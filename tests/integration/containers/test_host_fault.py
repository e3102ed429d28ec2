"""A host that can start no container, told from a Space whose container cannot be started."""

from __future__ import annotations

import pytest
from tests.integration.containers.parts import answers, ours, silent

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.chain import withheld


async def failure(pool: Pool, spec: ContainerSpec) -> StepError:
    with pytest.raises(StepError) as caught:
        async with pool.lease(spec, answers, silent):
            pass
    return caught.value


async def test_an_engine_that_refuses_every_container_is_the_hosts_fault(engine, settings, spec) -> None:
    broken = settings.model_copy(update={"runtime": "no-such-runtime"})
    async with Pool(engine, broken) as pool:
        for name in ("one", "one", "one", "two"):
            error = await failure(pool, spec(name, private=True, sealed=True))
            assert (error.stage, error.kind, error.host) == (Stage.START, ErrorKind.START_FAILED, True)
            # In privacy mode too: it says nothing of the job.
            assert withheld(error) == str(error)
            assert str(error).startswith("this host can start no Space")
            assert "no-such-runtime" in str(error)
            assert "containers.runtime" in str(error)
        assert pool.view.host_fault == str(error)
        # No Space rests for what is not its fault.
        assert all(one.quarantined_for is None for one in pool.view.status().values())
    assert await ours(engine, settings.instance_id) == []


async def test_a_container_that_is_refused_alone_is_its_spaces_fault(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        error = await failure(pool, spec("one", runtime="no-such-runtime"))
        assert (error.kind, error.host) == (ErrorKind.START_FAILED, False)
        assert str(error).startswith("the container of one cannot be started")
        assert "withheld" in withheld(error)
        error = await failure(pool, ContainerSpec("two", "spacedock/no-such-image:1", "sha256:none"))
        assert not error.host
        assert pool.view.host_fault is None
    assert await ours(engine, settings.instance_id) == []


async def test_a_network_that_cannot_be_made_is_told_until_a_start_succeeds(engine, settings, spec) -> None:
    name = f"spacedock-{settings.instance_id}-sealed"
    async with engine.call(Stage.START) as docker:
        taken = await docker.networks.create({"Name": name, "Driver": "bridge"})
    async with Pool(engine, settings) as pool:
        error = await failure(pool, spec("one", private=True, sealed=True))
        assert (error.kind, error.host) == (ErrorKind.START_FAILED, True)
        assert name in withheld(error)
        assert "docker network ls" in withheld(error)
        assert pool.view.host_fault == str(error)
        async with engine.call(Stage.START):
            await taken.delete()
        async with pool.lease(spec("one", private=True, sealed=True), answers, silent) as lease:
            assert lease.app.url.startswith("http://")
        assert pool.view.host_fault is None
