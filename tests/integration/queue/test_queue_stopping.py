"""A worker that ends, for whatever reason, gives its jobs back before anything closes that they use."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from tests.integration.queue.workers import Held, no_registry, succeeded, working

from spacedock._wire import keys
from spacedock.client import Client
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.background import Stop, running
from spacedock_worker.errors import GiveBackError
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker
from spacedock_worker.service import _work


class Fatal(BaseException):
    """What no boundary stops."""


async def test_a_fatal_fault_gives_running_jobs_back_and_then_closes(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, fault = Held(), asyncio.Event()

    async def fatal(self: QueueWorker) -> None:
        await fault.wait()
        raise Fatal

    monkeypatch.setattr(QueueWorker, "_renew", fatal)
    worker = QueueWorker(redis_url, held, no_registry)
    job_id = await client.submit("prompt")
    serving = asyncio.create_task(_work(worker, Stop(), lambda: None, 30))
    await held.began.get()
    fault.set()
    with pytest.raises(BaseExceptionGroup, match="TaskGroup"):
        await serving
    assert held.stopped == [job_id]
    assert (await client.status(job_id)).state is JobState.QUEUED


async def test_a_worker_that_is_cancelled_gives_running_jobs_back(client: Client, redis_url: str) -> None:
    held = Held()
    job_id = await client.submit("prompt")
    serving = asyncio.create_task(_work(QueueWorker(redis_url, held, no_registry), Stop(), lambda: None, 30))
    await held.began.get()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert (await client.status(job_id)).state is JobState.QUEUED


async def test_what_a_stopped_job_still_brings_is_not_written(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spacedock_worker.queue.worker._GIVE_BACK_SECONDS", 0.1)
    began, closed, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn(job: TakenJob, tell: Emit) -> JobResult:
        began.set()
        try:
            await closed.wait()
        except asyncio.CancelledError:
            await closed.wait()
        over.set()
        return succeeded(job)

    async with working(redis_url, stubborn) as worker:
        job_id = await client.submit("prompt")
        await began.wait()
        await worker.drain(0)
        assert (await client.status(job_id)).state is JobState.QUEUED
        closed.set()
        await over.wait()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
        assert (await client.status(job_id)).state is JobState.QUEUED


async def test_a_job_that_trouble_of_ours_keeps_from_its_result_runs_again(
    client: Client, redis_url: str, redis: Redis
) -> None:
    runs: list[str] = []

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        runs.append(job.id)
        if len(runs) == 1:
            raise GiveBackError("Redis was away")
        return succeeded(job)

    async with working(redis_url, handle):
        job_id = await client.submit("prompt")
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED
    assert runs == [job_id, job_id]
    assert await redis.get(keys.arq_retry(job_id)) is None


async def test_background_work_does_not_die_unheard() -> None:
    ended = asyncio.Event()

    async def broken() -> None:
        ended.set()
        raise ZeroDivisionError

    with capture_logs() as logs:
        async with running(recommender=broken()):
            await ended.wait()
            await asyncio.sleep(0)
    [entry] = [entry for entry in logs if entry["event"] == "worker.background_ended"]
    assert entry["task"] == "recommender"
    assert isinstance(entry["exc_info"], ZeroDivisionError)
