"""Cancelling: at once in the queue, by telling the worker while it runs, and never after the end."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, lapse, take, working

from spacedock._wire import keys
from spacedock.client import Client
from spacedock.errors import JobNotFoundError
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore


async def test_a_job_cancelled_in_the_queue_never_runs(client: Client, redis_url: str) -> None:
    job_id = await client.submit("prompt")
    assert await client.cancel(job_id) is JobState.CANCELLED
    held = Held()
    held.go.set()
    async with working(redis_url, held):
        await client.run("a job that comes after it")
    assert job_id not in held.runs
    assert (await client.result(job_id)).state is JobState.CANCELLED


async def test_whoever_waits_for_a_job_is_told_of_its_cancellation(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held):
        job_id = await client.submit("prompt", labels={"line": "7"})
        await held.began.get()
        assert await client.cancel(job_id) is JobState.RUNNING
        result = await client.result(job_id, wait=2)
    assert (result.state, result.labels) == (JobState.CANCELLED, {"line": "7"})
    assert held.stopped == [job_id]


async def test_a_job_that_has_ended_cannot_be_cancelled(client: Client, redis_url: str) -> None:
    async with working(redis_url):
        before = await client.run("prompt")
        assert await client.cancel(before.id) is JobState.SUCCEEDED
        assert await client.result(before.id) == before


async def test_a_job_that_nobody_knows_cannot_be_cancelled(client: Client) -> None:
    with pytest.raises(JobNotFoundError):
        await client.cancel("no-such-job")


async def test_a_job_cancelled_while_its_worker_was_dead_does_not_run_again(
    client: Client, redis_url: str, redis: Redis
) -> None:
    job_id = await client.submit("prompt")
    await take(JobStore(redis, "dead"), 1)
    assert await client.cancel(job_id) is JobState.RUNNING
    await lapse(redis, job_id)
    held = Held()
    async with working(redis_url, held):
        assert (await client.result(job_id, wait=60)).state is JobState.CANCELLED
    assert held.runs == []


async def test_a_cancellation_whose_announcement_was_lost_is_found_by_the_renewal(
    client: Client, redis_url: str, redis: Redis
) -> None:
    held = Held()
    async with working(redis_url, held):
        job_id = await client.submit("prompt")
        await held.began.get()
        await redis.hset(keys.job(job_id), "cancel", "1")
        assert (await client.result(job_id, wait=60)).state is JobState.CANCELLED
