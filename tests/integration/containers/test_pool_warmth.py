"""How the pool keeps containers warm: tiers, replicas, memory, adoption, quarantine, deaths seen at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.integration.containers.parts import Page, answers, never, ours, silent, states

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool import history
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError


async def use(pool: Pool[Page], spec: object) -> float:
    """Lease a container once; the seconds that its start took."""
    async with pool.lease(spec, answers, silent) as lease:  # type: ignore[arg-type]
        assert await answers(lease.app.url)
        return lease.start_seconds


async def until(pool: Pool[Page], engine: Engine, owner: str, *wanted: str) -> None:
    """Wait until the containers are in these states."""
    async with asyncio.timeout(60):
        while sorted((await states(engine, owner)).values()) != sorted(wanted):  # noqa: ASYNC110
            # The engine tells of deaths, not of every state.
            await asyncio.sleep(0.05)
    await pool.settled()


async def test_an_idle_container_is_paused_and_back_at_once(engine, settings, spec) -> None:
    quick = settings.model_copy(update={"pause_seconds": 0.1})
    async with Pool(engine, quick) as pool:
        await use(pool, spec("one"))
        await until(pool, engine, settings.instance_id, "paused")
        assert repr(pool) == "<Pool 1/3 containers: 1 asleep; 0 waiting>"
        assert await use(pool, spec("one")) == 0.0
    assert await ours(engine, settings.instance_id) == []


async def test_a_writable_container_is_stopped_and_keeps_what_it_wrote(engine, settings, spec) -> None:
    once = "import http.server, pathlib\n"
    once += "p = pathlib.Path('/var/tmp/seen'); n = int(p.read_text()) + 1 if p.exists() else 1\n"
    once += "p.write_text(str(n)); pathlib.Path('/tmp/index.html').write_text(str(n))\n"
    once += "import os; os.chdir('/tmp'); http.server.test(http.server.SimpleHTTPRequestHandler, port=7860)"
    tiers = settings.model_copy(update={"idle_seconds": 0.2, "stopped_seconds": 60.0})
    async with Pool(engine, tiers) as pool:
        keeps = spec("keeps", ("python3", "-c", once))
        await use(pool, keeps)
        await until(pool, engine, settings.instance_id, "exited")
        assert repr(pool) == "<Pool 0/3 containers: 1 stopped; 0 waiting>"
        async with pool.lease(keeps, answers, silent) as lease:
            assert lease.start_seconds > 0
            assert await lease.app.text() == "2"
    assert await ours(engine, settings.instance_id) == []


async def test_a_stopped_container_is_removed_in_the_end_also_one_that_made_room(
    engine, settings, spec
) -> None:
    one = settings.model_copy(update={"max_containers": 1, "stopped_seconds": 8.0})
    async with Pool(engine, one) as pool:
        await use(pool, spec("first"))
        await use(pool, spec("second"))
        assert sorted((await states(engine, settings.instance_id)).values()) == ["exited", "running"]
        await until(pool, engine, settings.instance_id, "running")


async def test_a_container_that_dies_while_it_sleeps_is_started_anew(engine, settings, spec) -> None:
    async with Pool(engine, settings.model_copy(update={"pause_seconds": 0.1})) as pool:
        await use(pool, spec("one"))
        await until(pool, engine, settings.instance_id, "paused")
        # Nobody hears of it: the pool is asked before the engine tells.
        await pool._monitor.stop()
        async with engine.call(Stage.START) as docker:
            container = docker.containers.container((await ours(engine, settings.instance_id))[0])
            await container.unpause()
            await container.kill()
        assert await use(pool, spec("one")) > 0


async def test_a_place_that_is_given_up_twice_is_not_used_again(engine, settings, spec) -> None:
    one = settings.model_copy(update={"max_containers": 1, "stopped_seconds": 60.0})
    async with Pool(engine, one) as pool:
        await use(pool, spec("one"))
        [place] = pool._slots
        pool._lifecycle.give_up(place)
        pool._lifecycle.discard(place)
        assert await use(pool, spec("one")) > 0
        await pool.settled()
        assert len(await ours(engine, settings.instance_id)) == 1


async def test_a_container_that_keeps_nothing_is_removed_rather_than_stopped(engine, settings, spec) -> None:
    tiers = settings.model_copy(update={"idle_seconds": 0.2, "stopped_seconds": 60.0})
    async with Pool(engine, tiers) as pool:
        await use(pool, spec("private", private=True, sealed=True))
        await until(pool, engine, settings.instance_id)
        assert repr(pool) == "<Pool 0/3 containers: none; 0 waiting>"


async def test_an_idle_container_that_dies_leaves_the_pool_at_once(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        await use(pool, spec("one"))
        async with engine.call(Stage.START) as docker:
            await docker.containers.container((await ours(engine, settings.instance_id))[0]).kill()
        await until(pool, engine, settings.instance_id)
        assert repr(pool) == "<Pool 0/3 containers: none; 0 waiting>"


async def test_a_death_is_heard_long_before_anybody_looks(engine, settings, spec) -> None:
    now = asyncio.get_running_loop().time
    async with Pool(engine, settings) as pool, pool.lease(spec("one"), answers, silent) as lease:
        dying = asyncio.create_task(lease.wait_dead())
        await answers(lease.app.url)
        async with engine.call(Stage.START) as docker:
            container = docker.containers.container((await ours(engine, settings.instance_id))[0])
            await container.kill()
        killed = now()
        assert (await dying).kind is ErrorKind.OUT_OF_MEMORY
        assert now() - killed < 0.5


async def test_however_many_wait_a_space_is_started_once(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool:
        starts = await asyncio.gather(*(use(pool, spec("one")) for _ in range(6)))
        assert sorted(start > 0 for start in starts) == [False] * 5 + [True]
        assert len(await ours(engine, settings.instance_id)) == 1


async def test_calls_share_a_container_up_to_its_call_slots(engine, settings, spec) -> None:
    both = asyncio.Barrier(2)

    async def together(pool: Pool[Page]) -> str:
        async with pool.lease(spec("one", calls=2), answers, silent) as lease:
            await both.wait()
            return lease.app.url

    async with Pool(engine, settings) as pool:
        one, two = await asyncio.gather(together(pool), together(pool))
        assert one == two
        assert len(await ours(engine, settings.instance_id)) == 1


async def test_a_space_that_alone_is_wanted_gets_a_second_container(engine, settings, spec) -> None:
    both = asyncio.Barrier(2)

    async def together(pool: Pool[Page]) -> str:
        async with pool.lease(spec("one"), answers, silent) as lease:
            # The second one comes because the first call takes longer than a start.
            await both.wait()
            return lease.app.url

    async with Pool(engine, settings) as pool, asyncio.timeout(60):
        one, two = await asyncio.gather(together(pool), together(pool))
        assert one != two


async def test_a_batch_of_long_calls_gets_the_room_of_its_own_fallback_once_that_has_rested(
    engine, settings, spec, monkeypatch
) -> None:
    two = settings.model_copy(update={"max_containers": 2})
    monkeypatch.setattr(history, "REST_SECONDS", 3.0)
    both = asyncio.Barrier(2)

    async def together(pool: Pool[Page]) -> None:
        async with pool.lease(spec("one"), answers, silent):
            # No call ends before the second container is there: nothing but its rest tells of the room.
            await both.wait()

    async with Pool(engine, two) as pool, asyncio.timeout(60):
        with pool.expecting() as expected:
            expected.families = frozenset({"fallback"})
            await use(pool, spec("fallback"))
            await asyncio.gather(together(pool), together(pool))


async def test_the_next_space_starts_while_the_present_one_computes(engine, settings, spec) -> None:
    async with Pool(engine, settings) as pool, pool.lease(spec("one"), answers, silent):
        assert await use(pool, spec("two")) > 0


async def test_limits_add_up_to_no_more_than_the_budget(engine, settings, spec) -> None:
    budget = settings.model_copy(update={"memory": 256 * 2**20, "memory_budget": 512 * 2**20})
    async with Pool(engine, budget) as pool:
        for space in ("one", "two", "three", "one"):
            await use(pool, spec(space))
            assert len(await ours(engine, settings.instance_id)) <= 2
        with pytest.raises(StepError, match=r"needs 1\.0 GB of memory.*0\.5 GB in all") as caught:
            await use(pool, spec("large", memory=2**30))
    assert caught.value.kind is ErrorKind.START_FAILED


async def test_an_urgent_waiter_gets_the_room_of_a_space_in_demand(engine, settings, spec) -> None:
    one = settings.model_copy(update={"max_containers": 1, "patience_seconds": 1.0})
    stop = asyncio.Event()

    async def again_and_again(pool: Pool[Page]) -> None:
        while not stop.is_set():
            await use(pool, spec("busy"))

    async with Pool(engine, one) as pool, asyncio.timeout(60), asyncio.TaskGroup() as users:
        for _ in range(2):
            users.create_task(again_and_again(pool))
        await use(pool, spec("busy"))
        await use(pool, spec("other"))
        stop.set()


async def test_a_space_that_cannot_start_is_quarantined(engine, settings, spec) -> None:
    ends = spec("ends", ("python3", "-c", "raise SystemExit('no model here')"))

    async def fail(pool: Pool[Page]) -> StepError:
        with pytest.raises(StepError) as caught:
            async with pool.lease(ends, never, silent):
                pass
        return caught.value

    async with Pool(engine, settings) as pool:
        together = await asyncio.gather(*(fail(pool) for _ in range(3)))
        assert [error.kind for error in together] == [ErrorKind.CRASHED] * 3
        assert (await fail(pool)).kind is ErrorKind.CRASHED
        third = await fail(pool)
        assert (third.stage, third.kind) == (Stage.START, ErrorKind.QUARANTINED)
        assert "no model here" in str(third)
        assert await use(pool, spec("one")) > 0


def noted(settings: ContainerSettings, folder: Path) -> ContainerSettings:
    return settings.model_copy(update={"state": folder, "stopped_seconds": 60.0})


async def abandon(pool: Pool[Page]) -> None:
    """Leave the pool as a kill does: its containers stay, nothing is said."""
    pool._closed = True
    await pool._monitor.stop()
    for place in pool._slots:
        place.cancel_idle_timer()
        if place.app is not None:
            await place.app.aclose()


async def test_idle_containers_of_a_killed_worker_are_adopted(engine, settings, spec, tmp_path) -> None:
    first: Pool[Page] = Pool(engine, noted(settings, tmp_path))
    await first.__aenter__()
    await use(first, spec("idle"))
    async with first.lease(spec("busy"), answers, silent):
        before = await states(engine, settings.instance_id)
        await abandon(first)
        async with Pool(engine, noted(settings, tmp_path)) as second:
            # What a call was using is in nobody knows what state.
            [left] = await states(engine, settings.instance_id)
            assert left.startswith("spacedock-idle-")
            assert left in before
            assert await use(second, spec("idle")) == 0.0
            assert list(await states(engine, settings.instance_id)) == [left]
    assert await ours(engine, settings.instance_id) == []


async def test_an_adopted_container_has_as_many_call_slots_as_its_space(
    engine, settings, spec, tmp_path
) -> None:
    first: Pool[Page] = Pool(engine, noted(settings, tmp_path))
    await first.__aenter__()
    shared = spec("one", calls=2)
    await use(first, shared)
    await abandon(first)
    async with (
        Pool(engine, noted(settings, tmp_path)) as second,
        second.lease(shared, answers, silent) as one,
        second.lease(shared, answers, silent) as two,
    ):
        assert one.app.url == two.app.url


async def test_containers_of_another_configuration_are_not_adopted(engine, settings, spec, tmp_path) -> None:
    first: Pool[Page] = Pool(engine, noted(settings, tmp_path))
    await first.__aenter__()
    await use(first, spec("idle"))
    await abandon(first)
    changed = noted(settings, tmp_path).model_copy(update={"pids": 100})
    async with Pool(engine, changed) as second:
        await until(second, engine, settings.instance_id)
        assert await use(second, spec("idle")) > 0


async def test_a_daemon_that_keeps_containers_warm_leaves_them_paused(
    engine, settings, spec, tmp_path
) -> None:
    keeps = noted(settings, tmp_path).model_copy(update={"keep_warm": True})
    async with Pool(engine, keeps) as pool:
        await use(pool, spec("idle"))
    assert list((await states(engine, settings.instance_id)).values()) == ["paused"]
    async with Pool(engine, keeps) as pool:
        assert await use(pool, spec("idle")) == 0.0
    async with Pool(engine, noted(settings, tmp_path)) as cold:
        await until(cold, engine, settings.instance_id)


async def test_a_private_container_is_left_to_nobody(engine, settings, spec, tmp_path) -> None:
    keeps = noted(settings, tmp_path).model_copy(update={"keep_warm": True})
    async with Pool(engine, keeps) as pool:
        await use(pool, spec("private", private=True, sealed=True))
        assert list(tmp_path.rglob("spacedock-*")) == []
    assert await ours(engine, settings.instance_id) == []


async def test_two_daemons_on_one_engine_leave_each_other_alone(engine, settings, spec) -> None:
    other = settings.model_copy(update={"instance_id": f"{settings.instance_id}-2"})
    async with Pool(engine, settings) as one:
        await use(one, spec("same"))
        async with Pool(engine, other) as two:
            assert await use(two, spec("same")) > 0
        assert await use(one, spec("same")) == 0.0
