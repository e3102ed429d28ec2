"""A master that dies in the middle of a batch, and its replica in its place: real servers and Sentinels."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.queue.sentinels import Watched, agreed, replicated
from tests.integration.queue.workers import succeeded, until, working

from spacedock._wire import keys
from spacedock.client import Client
from spacedock.errors import JobNotFoundError, NotConnectedError, RefusedError
from spacedock.request import JobRequest, job_id_of
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.valkey import server_binary

BEFORE, DURING = 300, 60
IN_HAND = 8


@pytest.fixture(params=["valkey", "redis"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    binary = server_binary() if request.param == "valkey" else shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on this machine")
    made = Watched(binary, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def submit_through(client: Client, request: JobRequest) -> None:
    """Submit until it is acknowledged; the same job each time, by its key."""
    while True:
        try:
            await client.submit_many([request])
            return
        except NotConnectedError:
            pass
        except RefusedError as error:
            if error.lasting:
                raise
        await asyncio.sleep(0.05)


async def test_a_failover_in_the_middle_of_a_batch_loses_and_doubles_no_job(watched: Watched) -> None:
    await until(lambda: agreed(watched), 30)
    runs: Counter[str] = Counter()
    half = asyncio.Event()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        runs[job.request.prompt] += 1
        await asyncio.sleep(0.02)
        if len(runs) > BEFORE // 3:
            half.set()
        return succeeded(job)

    before = [JobRequest(prompt=f"b{n}", idempotency_key=f"b{n}") for n in range(BEFORE)]
    during = [JobRequest(prompt=f"d{n}", idempotency_key=f"d{n}") for n in range(DURING)]
    async with Client(watched.url) as client, asyncio.timeout(120):
        ids = await client.submit_many(before)
        await until(lambda: replicated(watched, "master", "replica"))
        async with working(watched.url, handle, max_jobs=IN_HAND):
            await half.wait()
            watched.kill("master")
            for request in during:
                await submit_through(client, request)
            results = [result async for result in client.results(ids)]
            later = [await survived(client, request) for request in during]
        assert {result.id for result in results} == set(ids)
        assert len(results) == BEFORE
        assert {result.state for result in [*results, *later]} == {JobState.SUCCEEDED}
        # Only what was in hand, or whose end the replica had not heard of, ran once more.
        assert sum(count - 1 for count in runs.values()) <= 4 * IN_HAND
        async with watched.server("replica") as now:
            assert (await now.info("replication"))["role"] == "master"
            assert await now.zcard(keys.QUEUE) == 0
            # The old master comes back as a replica of the new one, and keeps nothing of its own.
            watched.start_server("master")
            await until(lambda: replicated(watched, "replica", "master"), 40)
            async with watched.server("master") as old:
                assert await old.dbsize() == await now.dbsize()


async def survived(client: Client, request: JobRequest) -> JobResult:
    """The job's result. One that only the dead master had is submitted once more, as a batch does."""
    while True:
        try:
            return await client.result(job_id_of(request))
        except JobNotFoundError:
            await submit_through(client, request)


async def test_a_master_without_its_replica_refuses_and_the_jobs_in_hand_wait(watched: Watched) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        began.set()
        await go.wait()
        return succeeded(job)

    async with (
        Client(watched.url) as client,
        working(watched.url, handle),
        watched.server("master") as master,
        asyncio.timeout(60),
    ):
        job_id = await client.submit("in hand")
        await began.wait()
        await master.config_set("min-replicas-max-lag", 1)
        await master.config_set("min-replicas-to-write", 1)
        watched.kill("replica")
        await until(lambda: refused(client))
        go.set()
        watched.start_server("replica", f"replicaof 127.0.0.1 {watched.ports['master']}")
        assert (await client.result(job_id)).succeeded
        await submit_through(client, JobRequest(prompt="after", idempotency_key="after"))


async def refused(client: Client) -> bool:
    """Whether the master takes no jobs for want of a replica; one that it takes is another of the test's."""
    try:
        await client.submit("more")
    except RefusedError as error:
        return "NOREPLICAS" in str(error) and not error.lasting
    return False
