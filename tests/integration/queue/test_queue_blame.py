"""Whom a worker's death is charged to: what was in its call, and one job at a time once one is suspected."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, lapse, succeeded, take, until, working

from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock.client import Client
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue.claims import Claimed
from spacedock_worker.queue.job_store import (
    MAX_TRIES,
    SUSPECT_DEATHS,
    SUSPECT_LOSSES,
    Blame,
    JobStore,
    LeaseState,
)
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker


class Lives:
    """Workers that claim jobs, do something with each, and die."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self.count = redis, 0
        self._store = JobStore(redis, "worker-0")

    async def claims(self) -> tuple[JobStore, dict[str, Claimed]]:
        """What the next worker gets, once all that waits is due."""
        lanes = [*await self._redis.keys(f"{keys.WAITING}*"), *await self._redis.keys(f"{keys.LANE}*")]
        for key in [keys.QUEUE, *lanes]:
            await self._redis.zadd(key, dict.fromkeys(await self._redis.zrange(key, 0, -1), 1))
        self.count += 1
        self._store = store = JobStore(self._redis, f"worker-{self.count}")
        return store, {claimed.id: claimed for claimed in await take(store, 100)}

    async def dies(self, *jobs: str, blame: Blame = Blame.EXECUTED) -> None:
        """The worker's death: its jobs are free."""
        for job_id in jobs:
            await lapse(self._redis, job_id, blame)

    async def begins(self, job_id: str) -> None:
        """The newest worker executes the job."""
        await self._store.at_work(job_id, True)


@pytest.fixture
def lives(redis: Redis) -> Lives:
    return Lives(redis)


async def deaths(lives: Lives, job_id: str) -> int:
    """How many deaths the next claim of the job tells of."""
    _, claims = await lives.claims()
    return claims[job_id].deaths


async def test_a_job_that_was_only_claimed_is_not_charged(client: Client, lives: Lives) -> None:
    job_id = await client.submit("prompt")
    for _ in range(MAX_TRIES + 1):
        _, claims = await lives.claims()
        assert claims[job_id].deaths == 0
        await lives.dies(job_id)


@pytest.mark.parametrize(("executed", "charged"), [(None, 0), (False, 0), (True, 1)])
async def test_a_job_is_charged_for_a_death_only_while_it_is_executed(
    client: Client, lives: Lives, executed: bool | None, charged: int
) -> None:
    job_id = await client.submit("prompt")
    store, _ = await lives.claims()
    if executed is not None:
        await store.at_work(job_id, not executed)
        await store.at_work(job_id, executed)
    await lives.dies(job_id)
    assert await deaths(lives, job_id) == charged


@pytest.mark.parametrize("blame", [Blame.NONE, Blame.UNKNOWN])
async def test_a_death_from_outside_or_that_nobody_has_seen_is_charged_to_no_job(
    client: Client, lives: Lives, blame: Blame
) -> None:
    job_id = await client.submit("prompt")
    for _ in range(MAX_TRIES + 1):
        _, claims = await lives.claims()
        assert claims[job_id].deaths == 0
        await lives.begins(job_id)
        await lives.dies(job_id, blame=blame)


async def test_a_death_from_outside_is_charged_to_no_suspect_either(client: Client, lives: Lives) -> None:
    suspect = await client.submit("suspect")
    await suspected(lives, suspect)
    # The claim that hears of the death lets it rest.
    await lives.claims()
    for _ in range(MAX_TRIES):
        _, claims = await lives.claims()
        assert claims[suspect].deaths == SUSPECT_DEATHS
        await lives.begins(suspect)
        await lives.dies(suspect, blame=Blame.NONE)


async def test_a_job_that_was_given_back_is_not_charged(client: Client, lives: Lives) -> None:
    job_id = await client.submit("prompt")
    store, _ = await lives.claims()
    await lives.begins(job_id)
    assert await store.release(job_id)
    assert await deaths(lives, job_id) == 0


async def test_a_worker_that_was_only_out_of_reach_takes_the_charge_back(
    client: Client, lives: Lives
) -> None:
    job_id = await client.submit("prompt")
    out_of_reach, _ = await lives.claims()
    await lives.begins(job_id)
    await lives.dies(job_id)
    taker, claims = await lives.claims()
    assert claims[job_id].deaths == 1
    assert (await out_of_reach.renew([job_id]))[job_id] is LeaseState.LOST
    await taker.release(job_id)
    assert await deaths(lives, job_id) == 0


async def suspected(lives: Lives, *jobs: str) -> None:
    """Let workers die while they execute these jobs, until they are suspects."""
    for _ in range(SUSPECT_DEATHS):
        await lives.claims()
        for job_id in jobs:
            await lives.begins(job_id)
        await lives.dies(*jobs)


async def test_suspects_are_run_one_at_a_time(client: Client, lives: Lives) -> None:
    jobs = [await client.submit(f"prompt {number}") for number in range(3)]
    await suspected(lives, *jobs)
    innocent = await client.submit("another")
    await lives.claims()
    await lives.dies(*jobs, innocent)
    # The claim that hears of the death lets them rest; the next one takes what is due.
    store, claims = await lives.claims()
    assert innocent in claims
    assert len(set(claims) & set(jobs)) == 1
    assert await take(store, 100, suspects=1) == []
    # The others rest a second for that.
    _, claims = await lives.claims()
    assert len(set(claims) & set(jobs)) == 1


async def test_a_death_with_a_suspect_at_work_is_charged_to_it_alone(client: Client, lives: Lives) -> None:
    suspect = await client.submit("suspect")
    await suspected(lives, suspect)
    innocent = await client.submit("innocent")
    await lives.claims()
    await lives.dies(innocent)
    _, claims = await lives.claims()
    assert claims[suspect].suspect
    for job_id in (suspect, innocent):
        await lives.begins(job_id)
    await lives.dies(suspect, innocent)
    _, claims = await lives.claims()
    assert claims[innocent].deaths == 0
    assert await deaths(lives, suspect) == SUSPECT_DEATHS + 1


async def test_whoever_ends_a_worker_that_hangs_can_name_the_job(
    client: Client, redis: Redis, lives: Lives
) -> None:
    guilty, innocent = await client.submit("guilty"), await client.submit("innocent")
    store, _ = await lives.claims()
    for job_id in (guilty, innocent):
        await lives.begins(job_id)
    await store.at_work(guilty, False)
    await redis.set(keys.accused(store.worker_id), guilty)
    await lives.dies(guilty, innocent)
    _, claims = await lives.claims()
    assert (claims[guilty].deaths, claims[innocent].deaths) == (1, 0)


async def test_a_job_that_is_lost_again_and_again_before_its_call_is_dead_in_the_end(
    client: Client, redis: Redis, lives: Lives
) -> None:
    job_id = await client.submit("a prompt whose preparation kills workers")
    for _ in range(SUSPECT_LOSSES + 2 * MAX_TRIES):
        store, claims = await lives.claims()
        if claims and claims[job_id].deaths == MAX_TRIES:
            break
        if claims:
            await store.at_work(job_id, False)
        await lives.dies(job_id)
    assert claims[job_id].deaths == MAX_TRIES
    await lives.dies(job_id)
    async with working(redis_url_of(redis)):
        assert (await client.result(job_id, wait=60)).state is JobState.DEAD


def redis_url_of(redis: Redis) -> str:
    """The address of the server that the test talks to."""
    return f"unix://{redis.connection_pool.connection_kwargs['path']}"


async def test_what_stands_in_redis_in_the_wrong_type_stops_no_claim(
    client: Client, redis: Redis, redis_url: str
) -> None:
    odd = await client.submit("odd")
    await answer(redis.lpush(keys.arq_retry(odd), "rubbish"))
    await redis.hset(keys.job(odd), mapping={"state": "running", "worker": "gone", "losses": "many"})
    await answer(redis.lpush(keys.accused("gone"), "rubbish"))
    async with working(redis_url):
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED
        await client.result(odd, wait=60)


async def test_a_suspect_that_waits_for_another_keeps_no_place_from_others(
    client: Client, redis_url: str, lives: Lives
) -> None:
    jobs = await client.submit_many(
        [JobRequest(prompt=f"x{number}", priority="high") for number in range(30)]
    )
    await suspected(lives, *jobs)
    await lives.claims()
    await lives.dies(*jobs)
    held = Held()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        return await held(job, tell) if job.id in jobs else succeeded(job)

    async with working(redis_url, handle, max_jobs=2):
        await held.began.get()
        for _ in range(3):
            assert (await client.run("innocent", wait=60)).succeeded
        assert len(held.runs) == 1
        held.go.set()


async def test_a_worker_holds_one_suspect_at_a_time(
    client: Client, redis_url: str, redis: Redis, lives: Lives
) -> None:
    jobs = [await client.submit(f"prompt {number}") for number in range(2)]
    await suspected(lives, *jobs)
    await lives.claims()
    await lives.dies(*jobs)
    running: set[str] = set()
    held = Held()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        running.add(job.id)
        assert len(running) == 1
        try:
            assert await redis.get(keys.accused(worker.worker_id)) == job.id.encode()
            return await held(job, tell)
        finally:
            running.discard(job.id)

    async with working(redis_url, handle) as worker:
        await held.began.get()
        held.go.set()
        results = [result async for result in client.results(jobs)]
        assert {result.state for result in results} == {JobState.SUCCEEDED}

        async def acquitted() -> bool:
            return await redis.get(keys.accused(worker.worker_id)) is None

        await until(acquitted)


async def test_a_job_that_another_worker_has_run_meanwhile_is_not_begun(
    client: Client, redis: Redis, redis_url: str
) -> None:
    claimed, go, begun = asyncio.Event(), asyncio.Event(), []

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        await job.at_work(False)
        claimed.set()
        await go.wait()
        # As after an outage: what it waits for is there when Redis is, and nobody has told it yet.
        await job.at_work(True)
        begun.append(job.id)
        return succeeded(job)

    async with working(redis_url, handle) as first:
        job_id = await client.submit("prompt")
        await claimed.wait()
        await redis.hset(keys.job(job_id), "worker", "another")
        go.set()
        await until(lambda: _none(first))
    assert begun == []


async def _none(worker: QueueWorker) -> bool:
    return not worker.tasks
