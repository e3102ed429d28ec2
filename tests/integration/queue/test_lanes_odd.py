"""Lanes of odd content, lanes that nobody here can serve, and claims whose answer is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, HostOf, lapse, take, until, working

from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock.client import Client
from spacedock.request import JobRequest
from spacedock_worker.queue import job_store
from spacedock_worker.queue.choose import HostOffer
from spacedock_worker.queue.job_store import JobStore

HOST = HostOf("one", HostOffer(8), frozenset({"x"}))
ODD_NUMBERS = ["inf", "-inf", "nan", "1e308"]


@pytest.fixture(autouse=True)
def no_lease_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job is run late, because its lease has run out, that ought to run at once."""
    monkeypatch.setattr(job_store, "LEASE_MS", 3_600_000)


async def test_a_claim_whose_answer_is_lost_is_run_all_the_same(
    client: Client, redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, real = asyncio.Event(), JobStore.take

    async def broken(self: JobStore, *args: Any) -> Any:
        found = await real(self, *args)
        if found[0] and not lost.is_set():
            lost.set()
            raise ConnectionError("the connection broke before the answer came")
        return found

    monkeypatch.setattr(JobStore, "take", broken)
    async with working(redis_url):
        job_id = await client.submit("one")
        await lost.wait()
        await lapse(redis, job_id)
        assert (await client.result(job_id, wait=60)).succeeded


async def test_a_job_that_outlives_its_lease_is_begun_once(
    client: Client, redis_url: str, redis: Redis
) -> None:
    held = Held()
    async with working(redis_url, held):
        job_id = await client.submit("one")
        await held.began.get()
        await lapse(redis, job_id)
        await until(lambda: leased(redis, job_id))
        held.go.set()
        assert (await client.result(job_id, wait=60)).succeeded
    assert held.runs == [job_id]


async def leased(redis: Redis, job_id: str) -> bool:
    return bool(await redis.exists(keys.arq_in_progress(job_id)))


@pytest.mark.parametrize("number", ODD_NUMBERS)
async def test_odd_numbers_in_the_accounts_of_lanes_hold_nobody_up(
    client: Client, redis_url: str, redis: Redis, number: str
) -> None:
    await redis.set(keys.VIRTUAL, number)
    held = Held()
    async with working(redis_url, held, max_jobs=1):
        first = await client.submit("first")
        await held.began.get()
        second = await client.submit("second")
        await answer(redis.hset(keys.job(first), "charged", number))
        (lane,) = await redis.zrange(keys.LANES, 0, -1)
        if number != "nan":
            await redis.zadd(keys.LANES, {lane: float(number)})
        held.go.set()
        for job_id in (first, second, await client.submit("third")):
            assert (await client.result(job_id, wait=60)).succeeded


async def test_lanes_and_targets_without_jobs_hide_no_others(
    client: Client, redis_url: str, redis: Redis
) -> None:
    job_id = await client.submit("one")
    (lane,) = await redis.zrange(keys.LANES, 0, -1)
    await redis.zadd(keys.LANE + lane.decode(), {f"target {number}": 0 for number in range(100)})
    await redis.zadd(keys.LANES, {f"lane {number}": -5 for number in range(100)})
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).succeeded
        assert (await client.run("two", wait=60)).succeeded
    assert not await redis.exists(keys.LANES)


async def test_rubbish_in_the_place_of_the_queue_stops_nobody(
    client: Client, redis_url: str, redis: Redis
) -> None:
    job_id = await client.submit("one")
    await redis.set(keys.QUEUE, "rubbish")
    async with working(redis_url):
        assert (await client.run("two", wait=60)).succeeded
        assert (await client.result(job_id, wait=60)).succeeded


async def others_have(redis: Redis, *spaces: str) -> None:
    """Another host, which is away, has those Spaces."""
    await redis.zadd(keys.HOSTS, {"other": 2e10})
    await answer(redis.sadd(f"{keys.SERVES}other", *spaces))


async def test_many_lanes_for_another_host_hide_none_that_is_for_this_one(
    client: Client, redis_url: str, redis: Redis
) -> None:
    await others_have(redis, "gone")
    await client.submit_many(JobRequest(prompt="x", space="gone", batch_id=f"b{n}") for n in range(100))
    async with working(redis_url, capacity=HOST):
        assert (await client.run("prompt", space="x", wait=60)).succeeded


async def test_many_spaces_of_another_host_hide_none_that_is_of_this_one(
    client: Client, redis_url: str, redis: Redis
) -> None:
    gone = [f"gone-{number}" for number in range(100)]
    await others_have(redis, *gone)
    await client.submit_many(JobRequest(prompt="x", space=name) for name in gone)
    async with working(redis_url, capacity=HOST):
        assert (await client.run("prompt", space="x", wait=60)).succeeded


async def test_a_stray_job_is_found_beside_any_number_of_lanes(
    client: Client, redis_url: str, redis: Redis
) -> None:
    await others_have(redis, "gone")
    job_id = await client.submit("of an earlier release")
    await redis.delete(*await redis.keys(f"{keys.PREFIX}lane*"), *await redis.keys(f"{keys.WAITING}*"))
    await client.submit_many(JobRequest(prompt="x", batch_id=f"b{n}") for n in range(100))
    held = Held()
    async with working(redis_url, held, max_jobs=3):
        held.go.set()
        assert (await client.result(job_id, wait=60)).succeeded


async def test_a_job_of_the_longest_lane_is_cancelled_in_it(client: Client, redis: Redis) -> None:
    longest = "\U00010400" * 100
    (job_id,) = await client.submit_many([JobRequest(prompt="x", batch_id=longest)])
    await client.cancel(job_id)
    assert not await redis.exists(keys.LANES)
    assert not await redis.keys(f"{keys.WAITING}*")


async def test_a_lane_does_not_pay_for_a_job_that_its_worker_lost(client: Client, redis: Redis) -> None:
    await client.submit_many(["a", "b", "c"])
    (lost,) = await take(JobStore(redis, "lost"), 1)
    charged = await redis.zrange(keys.LANES, 0, -1, withscores=True)
    await lapse(redis, lost.id)
    assert len(await take(JobStore(redis, "next"), 1)) == 1
    assert await redis.zrange(keys.LANES, 0, -1, withscores=True) == charged


async def test_jobs_run_and_leases_end_also_when_the_servers_clock_was_set_back(
    client: Client, redis: Redis
) -> None:
    held, waiting = await client.submit("held"), await client.submit("waiting")
    gone = JobStore(redis, "gone")
    assert len(await take(gone, 1)) == 1
    ahead = 3_600_000
    for key in [
        keys.QUEUE,
        keys.HELD,
        *await redis.keys(f"{keys.WAITING}*"),
        *await redis.keys(f"{keys.LANE}*"),
    ]:
        for member, score in await redis.zrange(key, 0, -1, withscores=True):
            await redis.zadd(key, {member: score + ahead})
    await redis.delete(keys.arq_in_progress(held))
    store = JobStore(redis, "next")
    taken = [*await take(store), *await take(store)]
    assert {job.id for job in taken} == {held, waiting}
