"""Leases: a job of a dead worker is taken up, and a worker that lost its lease writes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from tests.integration.queue.process import BEGAN, DIED
from tests.integration.queue.workers import Held, lapse, take, until, worker_process, working
from tests.quickest import Quickest

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock.client import Client
from spacedock.events import Event
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, JobResult, Stage
from spacedock.states import JobState
from spacedock_worker.queue.job_store import MAX_TRIES, JobStore, LeaseState
from spacedock_worker.queue.outcome import ended

# What a killed process leaves behind is the same on every server; starting processes takes time.
on_one_server = pytest.mark.parametrize("shared_server", ["valkey"], indirect=True)

NEVER_MS = 2**50


async def told(redis: Redis, key: str) -> str:
    """Wait for what a worker's process tells the test."""
    taken = await answer(redis.brpop([key], timeout=60))
    assert taken is not None
    return taken[1].decode()


@on_one_server
async def test_a_job_whose_worker_is_killed_is_answered_once_within_10_s(
    client: Client, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    answers = Quickest(10.0)
    while answers.again:
        async with worker_process(redis_url, tmp_path / "log") as process:
            job_id = await client.submit("hang")
            assert await told(redis, BEGAN) == job_id
            held = Held()
            held.go.set()
            async with working(redis_url, held):
                process.kill()
                with answers.round():
                    result = await client.result(job_id, wait=60)
        assert result.state is JobState.SUCCEEDED
        assert held.runs == [job_id]
    assert answers.under, answers.rounds


@on_one_server
async def test_a_batchs_counters_are_exact_when_its_worker_was_killed(
    client: Client, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    async def counted() -> tuple[int, ...]:
        counts = (await client.batch_status("night")).counts
        states = [job.state for job in await client.jobs(batch="night")]
        assert {state: counts[state] for state in JobState} == {s: states.count(s) for s in JobState}
        return tuple(counts.values())

    async with worker_process(redis_url, tmp_path / "log") as process:
        requests = [JobRequest(prompt=f"hang {number}", batch_id="night") for number in range(40)]
        ids = await client.submit_many(requests)
        for _ in range(5):
            await told(redis, BEGAN)
        process.kill()
        await process.wait()
    assert sum((await counted())[:2]) == 40
    await client.cancel_batch("night")
    await counted()
    for job_id in await redis.zrange(keys.HELD, 0, -1):
        await lapse(redis, job_id.decode())
    async with working(redis_url):
        async with asyncio.timeout(60):
            ends = [result.state async for result in client.results(ids)]
        assert len(ends) == 40
        assert (await counted())[:2] == (0, 0)


@on_one_server
async def test_a_job_that_kills_its_worker_five_times_is_dead(
    client: Client, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    job_id = await client.submit("die", labels={"line": "7"})
    async with worker_process(redis_url, tmp_path / "log", lives=MAX_TRIES):
        for _ in range(MAX_TRIES):
            assert await told(redis, BEGAN) == job_id
            await told(redis, DIED)
            await lapse(redis, job_id)
    held = Held()
    async with working(redis_url, held):
        result = await client.result(job_id, wait=60)
    assert (result.state, held.runs, result.labels) == (JobState.DEAD, [], {"line": "7"})
    assert result.error is not None
    assert result.error.kind is ErrorKind.WORKER_LOST


async def test_a_worker_that_lost_its_lease_writes_no_result_and_takes_no_lease_away(
    client: Client, redis: Redis
) -> None:
    job_id = await client.submit("prompt")
    old, new = JobStore(redis, "old"), JobStore(redis, "new")
    await take(old, 1)
    await lapse(redis, job_id)
    assert [job.id for job in await take(new, 1)] == [job_id]

    assert not await written(old, ended(job_id, JobState.FAILED))
    assert not await old.release(job_id)
    assert (await old.renew([job_id]))[job_id] is LeaseState.LOST
    await old.tell(Event(job_id=job_id, stage=Stage.CALL, name="old", message="still here"))

    assert await redis.get(keys.arq_in_progress(job_id)) == b"new"
    assert (await client.status(job_id)).message == ""
    assert await written(new, ended(job_id, JobState.SUCCEEDED))
    assert (await client.result(job_id)).state is JobState.SUCCEEDED


async def written(store: JobStore, result: JobResult) -> bool:
    """Write a result as a worker does; whether it was taken."""
    return await store.finish(result, wire.encode(result))


async def test_a_lease_that_ran_out_is_ours_again_where_nobody_took_the_job(
    client: Client, redis: Redis
) -> None:
    job_id = await client.submit("prompt")
    store = JobStore(redis, "only")
    await take(store, 1)
    await lapse(redis, job_id)
    assert (await store.renew([job_id]))[job_id] is LeaseState.HELD
    assert await take(JobStore(redis, "late"), 1) == []


async def test_a_worker_stops_a_job_that_somebody_else_has_taken(
    client: Client, redis_url: str, redis: Redis
) -> None:
    held, other = Held(), JobStore(redis, "other")
    async with working(redis_url, held, max_jobs=1) as worker:
        job_id = await client.submit("prompt")
        await held.began.get()
        await lapse(redis, job_id)
        assert [job.id for job in await take(other, 1)] == [job_id]

        async def idle() -> bool:
            return not worker.tasks

        await until(idle)
    assert held.stopped == [job_id]
    assert await redis.get(keys.arq_in_progress(job_id)) == b"other"
    assert (await client.status(job_id)).state is JobState.RUNNING


async def test_a_job_that_this_worker_still_runs_is_not_begun_a_second_time(
    client: Client, redis_url: str, redis: Redis
) -> None:
    held = Held()
    async with working(redis_url, held) as worker:
        job_id = await client.submit("prompt")
        await held.began.get()
        await lapse(redis, job_id)

        async def leased() -> bool:
            return await redis.get(keys.arq_in_progress(job_id)) == worker.worker_id.encode()

        await until(leased)
        held.go.set()
        await client.result(job_id, wait=60)
    assert held.runs == [job_id]


async def test_draining_gives_jobs_back_uncounted_and_another_worker_runs_them(
    client: Client, redis_url: str, redis: Redis
) -> None:
    leaving = Held()
    async with working(redis_url, leaving) as worker:
        job_id = await client.submit("prompt")
        await leaving.began.get()
        await worker.drain(0.1)
        assert (await client.status(job_id)).state is JobState.QUEUED
        assert int(await redis.get(keys.arq_retry(job_id)) or 0) == 0
        async with working(redis_url):
            assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED
    assert leaving.stopped == [job_id]


async def test_draining_waits_for_the_jobs_that_end_in_time(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held) as worker:
        job_id = await client.submit("prompt")
        await held.began.get()
        draining = asyncio.create_task(worker.drain(10))
        held.go.set()
        await draining
        assert (await client.status(job_id)).state is JobState.SUCCEEDED


async def test_a_drain_that_is_hurried_gives_jobs_back_at_once(client: Client, redis_url: str) -> None:
    held, hurry = Held(), asyncio.Event()
    async with working(redis_url, held) as worker:
        job_id = await client.submit("prompt")
        await held.began.get()
        draining = asyncio.create_task(worker.drain(3600, hurry))
        hurry.set()
        async with asyncio.timeout(60):
            await draining
        assert (await client.status(job_id)).state is JobState.QUEUED


async def test_a_drain_says_whom_it_waits_for_but_not_in_privacy_mode(client: Client, redis_url: str) -> None:
    held = Held()
    with capture_logs() as logs:
        async with working(redis_url, held) as worker:
            await client.submit("prompt", space="mood")
            await client.submit("prompt", space="secret-diary", privacy=True)
            await held.began.get()
            await held.began.get()
            await worker.drain(0.1)
    [told] = [entry for entry in logs if entry["event"] == "worker.draining"]
    assert (told["jobs"], told["spaces"], told["at_most_seconds"]) == (2, ["mood"], 0.1)


async def test_a_draining_worker_takes_no_more_jobs(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held) as worker:
        await worker.drain(0.1)
        job_id = await client.submit("prompt")
        async with working(redis_url):
            await client.result(job_id, wait=60)
    assert held.runs == []


@on_one_server
async def test_the_jobs_of_a_worker_that_is_known_to_be_dead_do_not_wait_for_their_leases(
    client: Client, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    async with worker_process(redis_url, tmp_path / "log") as process:
        job_id = await client.submit("hang")
        assert await told(redis, BEGAN) == job_id
        process.kill()
        await process.wait()
    dead = await redis.get(keys.arq_in_progress(job_id))
    # Nobody gets the job because its lease has run out.
    await redis.pexpire(keys.arq_in_progress(job_id), 3_600_000)
    await redis.zadd(keys.HELD, {job_id: NEVER_MS}, xx=True)
    held = Held()
    async with working(redis_url, held) as worker:
        other = await client.submit("held by another")
        assert await held.began.get() == other
        await JobStore(redis, worker.worker_id).lapse(dead.decode())
        assert await asyncio.wait_for(held.began.get(), 60) == job_id
        assert await redis.get(keys.arq_in_progress(other)) == worker.worker_id.encode()
        held.go.set()
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED
