"""Redis goes away and comes back while jobs run: no job, no result and no slot is lost."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import Held, lapse, until, working

from spacedock._wire import keys, waiting
from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.errors import NotConnectedError
from spacedock.states import JobState
from spacedock_worker.queue.worker import QueueWorker


def idle(worker: QueueWorker):
    """Whether the worker holds no job."""

    async def true() -> bool:
        return not worker.tasks and worker.job_counter == 0

    return true


async def all_slots_are_free(client: Client, held: Held, slots: int) -> bool:
    """Whether that many jobs run at once, as they should when no slot leaked."""
    held.go.clear()
    ids = await client.submit_many(f"slot {number}" for number in range(slots))
    async with asyncio.timeout(60):
        for _ in ids:
            await held.began.get()
    held.go.set()
    return len([result async for result in client.results(ids)]) == slots


async def test_results_are_written_when_redis_is_back(own_server: Server) -> None:
    held = Held()
    async with Client(own_server.url) as client, working(own_server.url, held, max_jobs=4) as worker:
        ids = await client.submit_many(f"prompt {number}" for number in range(4))
        for _ in ids:
            await held.began.get()
        own_server.stop()
        held.go.set()
        own_server.start()
        async with asyncio.timeout(60):
            ended = [result async for result in client.results(ids)]
        assert {result.state for result in ended} == {JobState.SUCCEEDED}
        assert sorted(held.runs) == sorted(ids)
        await until(idle(worker))
        assert await all_slots_are_free(client, held, 4)


async def test_results_are_waited_for_through_a_restart(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    told = ["the connection to Redis is lost; waiting for it to come back", "Redis is there again"]

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "spacedock._wire.waiting"]

    async def back() -> bool:
        return said() == told

    async with Client(own_server.url) as client, working(own_server.url, held):
        job_id = await client.submit("prompt")
        await held.began.get()
        waiting = asyncio.create_task(client.result(job_id, wait=60))
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)
        # The result may be found by a look before the subscription is there again.
        await until(back)
        held.go.set()
        assert (await waiting).state is JobState.SUCCEEDED
    assert said() == told


async def test_a_redis_that_hangs_for_a_while_costs_nothing(own_server: Server) -> None:
    held = Held()
    async with Client(own_server.url) as client, working(own_server.url, held, max_jobs=4) as worker:
        ids = await client.submit_many(f"prompt {number}" for number in range(4))
        for _ in ids:
            await held.began.get()
        own_server.pause()
        held.go.set()

        async def writing() -> bool:
            # The handlers are done, their results are on the way to a server that does not answer.
            return len(held.runs) == 4 and not held.stopped

        await until(writing)
        own_server.resume()
        async with asyncio.timeout(60):
            assert len([result async for result in client.results(ids)]) == 4
        await until(idle(worker))
        assert await all_slots_are_free(client, held, 4)


async def test_jobs_whose_leases_ran_out_during_the_outage_are_not_run_again(own_server: Server) -> None:
    held = Held()
    async with Client(own_server.url) as client, working(own_server.url, held) as worker:
        job_id = await client.submit("prompt")
        await held.began.get()
        async with connect(own_server.url) as redis:
            await lapse(redis, job_id)
        own_server.stop()
        own_server.start()
        async with connect(own_server.url) as redis:
            await until(lambda: leased(redis, job_id, worker.worker_id))
        held.go.set()
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED
    assert held.runs == [job_id]


async def leased(redis: Redis, job_id: str, worker_id: str) -> bool:
    """Whether the worker holds the job's lease."""
    return await redis.get(keys.arq_in_progress(job_id)) == worker_id.encode()


# A claim whose answer was lost with its connection waits for its lease to run out.
@pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
async def test_connections_that_the_server_closes_lose_no_job(own_server: Server) -> None:
    held = Held()
    held.go.set()
    async with (
        Client(own_server.url) as client,
        working(own_server.url, held),
        connect(own_server.url) as redis,
    ):
        ids: list[str] = []
        for number in range(20):
            ids += await client.submit_many(f"prompt {number} {part}" for part in range(5))
            await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        async with asyncio.timeout(60):
            ended = [result async for result in client.results(ids)]
    assert {result.state for result in ended} == {JobState.SUCCEEDED}
    assert len(ended) == 100


async def test_acknowledged_jobs_survive_a_restart(own_server: Server) -> None:
    async with Client(own_server.url) as client:
        ids = await client.submit_many(f"prompt {number}" for number in range(50))
        own_server.stop()
        own_server.start()
        async with working(own_server.url), asyncio.timeout(60):
            assert len([result async for result in client.results(ids)]) == 50


async def test_a_client_without_redis_is_told_where_it_looked(own_server: Server) -> None:
    async with Client(own_server.url) as client:
        own_server.stop()
        with pytest.raises(NotConnectedError, match=r"redis\.sock"):
            await client.submit("prompt")
        own_server.start()


@pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
async def test_a_server_that_only_loads_its_file_is_not_said_to_be_there(
    own_server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = asyncio.Event()

    async def ended(*_: object) -> tuple[list[list[str]], list[str]]:
        if loading.is_set():
            raise BusyLoadingError("LOADING")
        return [], []

    monkeypatch.setattr(waiting.records, "ended", ended)
    async with Client(own_server.url) as client:
        job_id = await client.submit("prompt")
        waits = asyncio.create_task(client.result(job_id, wait=60))
        loading.set()
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)

        async def lost() -> bool:
            return any("is lost" in record.getMessage() for record in caplog.records)

        await until(lost)

        async def subscribed() -> bool:
            return client._waiting._subscribed

        await until(subscribed)
        assert not any("there again" in record.getMessage() for record in caplog.records)
        loading.clear()

        async def back() -> bool:
            return any("there again" in record.getMessage() for record in caplog.records)

        await until(back)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
