"""What ended jobs left in Redis goes, and nothing that a living job needs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import take

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer, connect
from spacedock._wire.retention import DAY_S
from spacedock.client import Client
from spacedock.files import Payload, payload_of
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output, Timings
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore
from spacedock_worker.queue.sweep import Swept, sweep_files, sweep_past, sweep_records

HOUR = 3600


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as redis:
        yield redis


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url) as client:
        yield client


async def submitted(client: Client, payload: Payload) -> str:
    await client.store([payload])
    return await client.submit_prepared(JobRequest(prompt="p", files=(payload.ref,)))


async def ended(redis: Redis, job_id: str, hours: float, *files: Payload) -> None:
    """End the job as a worker does, `hours` ago."""
    store = JobStore(redis, "worker")
    assert [claimed.id for claimed in await take(store, 10)] == [job_id]
    for file in files:
        await redis.set(keys.payload(file.ref.sha256), file.data, ex=DAY_S)
    result = JobResult(
        id=job_id,
        state=JobState.SUCCEEDED,
        output=Output(files=tuple(file.ref for file in files)),
        timings=Timings(total=1.0),
    )
    assert await store.finish(result, wire.encode(result))
    left = int(DAY_S - hours * HOUR)
    begun = float(await answer(redis.hget(keys.job(job_id), "submitted"))) - hours * HOUR - 1
    await answer(redis.hset(keys.job(job_id), "submitted", str(begun)))
    for key in (keys.job(job_id), *[k async for k in redis.scan_iter(match=keys.payload("*"))]):
        if await redis.ttl(key) > 0:
            await redis.expire(key, left)
            await idle(redis, key, hours * HOUR)


async def idle(redis: Redis, key: bytes | str, seconds: float) -> None:
    """Make a key look as if nobody had touched it for so long."""
    raw, left = await redis.dump(key), await redis.pttl(key)
    await redis.restore(key, left, raw, replace=True, idletime=int(seconds))


async def test_an_old_job_goes_with_its_files(client: Client, redis: Redis) -> None:
    given, made = payload_of("in.txt", b"12345"), payload_of("out.txt", b"1234567")
    job = await submitted(client, given)
    await ended(redis, job, 3, made)
    counted = await sweep_records(redis, HOUR, dry_run=True)
    assert counted.count == 1
    assert counted.bytes > 100
    files = await sweep_files(redis, HOUR, dry_run=True)
    assert (files.count, files.bytes > 12) == (2, True)
    assert await sweep_records(redis, HOUR, dry_run=False) == counted
    assert await sweep_files(redis, HOUR, dry_run=False) == files
    # Events are no part of a job: they go by their own age.
    assert [key async for key in redis.scan_iter()] == [keys.EVENTS.encode()]


async def test_batches_without_jobs_and_old_events_go(client: Client, redis: Redis) -> None:
    requests = [JobRequest(prompt=name, batch_id=name) for name in ("gone", "gone", "half", "half", "waits")]
    ids = await client.submit_many(requests)
    for job_id in ids[:4]:
        await client.cancel(job_id)
    await redis.delete(*map(keys.job, ids[:3]))
    await sweep_past(redis, HOUR)
    assert {batch.id for batch in await client.batches()} == {"half", "waits"}
    assert await client.job_ids("half") == ids[3:4]
    assert await redis.xlen(keys.EVENTS) == 4
    await sweep_past(redis, -HOUR)
    assert await redis.xlen(keys.EVENTS) == 1
    assert await redis.exists(keys.BATCH + "gone", keys.BATCH_JOBS + "gone") == 0


async def test_a_job_that_ended_since_stays_with_its_files(client: Client, redis: Redis) -> None:
    made = payload_of("out.txt", b"1234567")
    job = await submitted(client, payload_of("in.txt", b"12345"))
    await ended(redis, job, 0.5, made)
    assert await sweep_records(redis, HOUR, dry_run=False) == Swept()
    assert await sweep_files(redis, HOUR, dry_run=False) == Swept()
    assert await client.fetch(made.ref.sha256) == made.data


async def test_a_job_that_waits_or_runs_is_not_touched(client: Client, redis: Redis) -> None:
    running = await submitted(client, payload_of("a.txt", b"a"))
    await take(JobStore(redis, "worker"), 10)
    waiting = await submitted(client, payload_of("b.txt", b"b"))
    for job in (running, waiting):
        await answer(redis.hset(keys.job(job), "submitted", "1"))
    assert await sweep_records(redis, 0, dry_run=False) == Swept()
    assert await sweep_files(redis, 0, dry_run=False) == Swept()
    assert (await client.status(running)).state is JobState.RUNNING
    assert (await client.status(waiting)).state is JobState.QUEUED


async def test_a_file_that_another_job_still_needs_stays(client: Client, redis: Redis) -> None:
    shared = payload_of("in.txt", b"12345")
    await ended(redis, await submitted(client, shared), 3)
    await submitted(client, shared)
    assert (await sweep_records(redis, HOUR, dry_run=False)).count == 1
    assert await sweep_files(redis, HOUR, dry_run=False) == Swept()
    assert await redis.ttl(keys.payload(shared.ref.sha256)) == -1


async def test_a_file_that_was_just_uploaded_waits_for_its_job(client: Client, redis: Redis) -> None:
    known = payload_of("old.txt", b"old")
    await ended(redis, await submitted(client, known), 3)
    await client.store([known, payload_of("new.txt", b"new")])
    assert await sweep_files(redis, 0, dry_run=False) == Swept()


async def test_a_job_cancelled_in_the_queue_is_as_old_as_its_end(client: Client, redis: Redis) -> None:
    job = await submitted(client, payload_of("in.txt", b"12345"))
    await answer(redis.hset(keys.job(job), "submitted", "1"))
    await client.cancel(job)
    assert await sweep_records(redis, HOUR, dry_run=False) == Swept()
    assert (await sweep_records(redis, 0, dry_run=False)).count == 1


async def test_a_server_that_keeps_no_idle_times_is_cleaned_of_all_else(client: Client, redis: Redis) -> None:
    await ended(redis, await submitted(client, payload_of("in.txt", b"12345")), 3)
    await redis.config_set("maxmemory-policy", "allkeys-lfu")
    try:
        assert (await sweep_records(redis, HOUR, dry_run=False)).count == 1
        assert await sweep_files(redis, HOUR, dry_run=False) == Swept()
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_what_is_no_record_keeps_no_record_from_going(client: Client, redis: Redis) -> None:
    await ended(redis, await submitted(client, payload_of("in.txt", b"12345")), 3)
    await redis.set(keys.job("stranger"), "no hash")
    await answer(redis.rpush(keys.payload("stranger"), "no string"))
    assert (await sweep_records(redis, HOUR, dry_run=False)).count == 1
    assert (await sweep_files(redis, HOUR, dry_run=False)).count == 1
