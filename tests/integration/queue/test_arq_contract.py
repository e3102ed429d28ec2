"""What arq promises of its queue, and arq's own tools at ours (docs/arq.md)."""

from __future__ import annotations

import asyncio
import json
import re

from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from redis.asyncio import Redis
from tests.integration.queue.workers import ROOT, Held, take, until, working

from spacedock._wire import keys
from spacedock.client import Client
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore, job_serializer

_ARQS = {"test_worker.py", "test_jobs.py", "test_main.py", "test_cron.py", "test_cli.py", "test_utils.py"}


def as_arq(redis: Redis) -> ArqRedis:
    """The server as arq's own client sees it."""
    pool = redis.connection_pool
    return ArqRedis(pool, job_serializer=job_serializer, job_deserializer=json.loads)


async def test_arq_lists_what_waits_and_knows_how_a_job_stands(
    client: Client, redis: Redis, redis_url: str
) -> None:
    arq, held = as_arq(redis), Held()
    job_id = await client.submit("prompt")
    job = Job(job_id, arq, _deserializer=json.loads)
    (listed,) = await arq.queued_jobs()
    assert (listed.job_id, listed.function, listed.args, listed.kwargs) == (job_id, keys.FUNCTION, [], {})
    assert await job.status() is JobStatus.queued
    async with working(redis_url, held):
        await held.began.get()
        assert await job.status() is JobStatus.in_progress
        assert await redis.get(keys.arq_retry(job_id)) == b"1"
        held.go.set()
        await client.result(job_id, wait=60)
    # arq keeps no result: ours is in the job's record.
    assert await job.status() is JobStatus.not_found
    assert await redis.exists(keys.arq_retry(job_id), keys.arq_in_progress(job_id)) == 0


async def test_what_waits_has_no_end(client: Client, redis: Redis) -> None:
    job_id = await client.submit("prompt")
    assert await redis.ttl(keys.arq_job(job_id)) == await redis.ttl(keys.job(job_id)) == -1


async def test_of_many_workers_that_claim_at_once_one_gets_the_job(client: Client, redis: Redis) -> None:
    job_id = await client.submit("prompt")
    claims = await asyncio.gather(*(take(JobStore(redis, f"worker-{number}")) for number in range(8)))
    assert [claimed.id for each in claims for claimed in each] == [job_id]


async def test_a_job_that_rests_is_taken_by_nobody_before_it_is_due(client: Client, redis: Redis) -> None:
    job_id = await client.submit("prompt")
    first, second = JobStore(redis, "first"), JobStore(redis, "second")
    await take(first)
    assert await first.release(job_id, rest=30)
    assert await take(second) == await take(first) == []


async def test_a_job_that_was_due_long_ago_is_run_at_once(
    client: Client, redis: Redis, redis_url: str
) -> None:
    job_id = await client.submit("prompt")
    for key in [keys.QUEUE, *await redis.keys(f"{keys.WAITING}*")]:
        await redis.zadd(key, {job_id: 1})
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


async def test_a_full_worker_hears_of_a_cancellation_and_takes_the_next_job(
    client: Client, redis_url: str
) -> None:
    held = Held()
    async with working(redis_url, held, max_jobs=1) as worker:
        first, second = await client.submit_many(["first", "second"])
        assert await held.began.get() == first
        await client.cancel(first)
        assert (await client.result(first, wait=60)).state is JobState.CANCELLED
        assert await held.began.get() == second
        held.go.set()
        assert (await client.result(second, wait=60)).state is JobState.SUCCEEDED

        async def none_in_hand() -> bool:
            return not worker.tasks and worker.job_counter == 0

        await until(none_in_hand)


def test_each_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "arq.md").read_text()
    folders = (ROOT / "tests" / "integration" / "queue", ROOT / "tests" / "unit")
    files = [path for folder in folders for path in folder.glob("test_*.py")]
    there = "\n".join(path.name + "\n" + path.read_text() for path in files)
    named = set(re.findall(r"\btest_\w+(?:\.py)?", page)) - _ARQS
    assert [name for name in named if name not in there] == []
