"""The client: waiting, watching, and its blocking twin."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, echo, succeeded, working

from spacedock._wire import keys
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError, NotConnectedError, ResultTimeoutError
from spacedock.events import Event
from spacedock.request import JobRequest
from spacedock.result import JobResult, Stage
from spacedock.states import JobState
from spacedock.sync import SyncClient
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob


async def test_results_come_in_the_order_of_ending(client: Client, redis_url: str) -> None:
    goes = {f"prompt {number}": asyncio.Event() for number in range(50)}

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        await goes[job.request.prompt].wait()
        return succeeded(job)

    async with working(redis_url, handle, max_jobs=50):
        ids = await client.submit_many(goes)
        order = sorted(range(50), key=lambda number: (number * 17) % 50)
        results = client.results(ids)
        for number in order:
            goes[f"prompt {number}"].set()
            assert (await anext(results)).id == ids[number]
        assert await anext(results, None) is None


async def test_no_job_has_no_results(client: Client) -> None:
    assert [result async for result in client.results([])] == []


async def test_a_job_asked_for_twice_is_one_result(client: Client, redis_url: str) -> None:
    async with working(redis_url):
        job_id = await client.submit("prompt")
        assert len([result async for result in client.results([job_id, job_id])]) == 1


async def test_an_unknown_job_is_told_as_such(client: Client) -> None:
    for asking in (client.result("no-such-job"), client.status("no-such-job")):
        with pytest.raises(JobNotFoundError, match="no-such-job"):
            await asking
    with pytest.raises(JobNotFoundError):
        await anext(client.watch("no-such-job"))


async def test_a_wait_that_is_over_leaves_the_job_alone(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held):
        job_id = await client.submit("prompt")
        await held.began.get()
        with pytest.raises(ResultTimeoutError, match=job_id):
            await client.result(job_id, wait=0.05)
        assert (await client.status(job_id)).state is JobState.RUNNING
        held.go.set()
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


async def test_a_hundred_waits_share_one_subscription(client: Client, redis_url: str, redis: Redis) -> None:
    async with working(redis_url):
        ended = await asyncio.gather(*(client.run(f"prompt {number}", wait=60) for number in range(100)))
        assert await redis.pubsub_numsub(keys.DONE) == [(keys.DONE.encode(), 1)]
    assert {result.state for result in ended} == {JobState.SUCCEEDED}


async def test_a_wait_may_be_given_up_and_taken_up_again(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held):
        job_id = await client.submit("prompt")
        waiting = asyncio.create_task(client.result(job_id))
        await held.began.get()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.go.set()
        assert (await client.result(job_id, wait=60)).id == job_id


async def test_a_job_is_watched_from_its_beginning_to_its_end(client: Client, redis_url: str) -> None:
    go = asyncio.Event()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        tell(Stage.BUILD, "mood", "building", None)
        await go.wait()
        tell(Stage.CALL, "mood", "calling", None)
        return await echo(job, tell)

    async with working(redis_url, handle):
        job_id = await client.submit("prompt")
        async with asyncio.timeout(60), aclosing(client.watch(job_id)) as watching:
            first = await anext(watching)
            go.set()
            events = [first, *[event async for event in watching]]
    assert [(event.stage, event.message) for event in events] == [
        (Stage.BUILD, "building"),
        (Stage.CALL, "calling"),
        (None, "succeeded"),
    ]
    assert await listed(client, job_id) == events


async def listed(client: Client, job_id: str) -> list[Event]:
    """All that is to be seen of a job."""
    return [event async for event in client.watch(job_id)]


@pytest.mark.parametrize("value", [object(), "\ud800"], ids=["object", "surrogate"])
async def test_inputs_that_are_no_json_are_refused(client: Client, value: object) -> None:
    with pytest.raises(BadRequestError):
        await client.submit_many([JobRequest(prompt="prompt", inputs={"x": value})])


async def test_an_address_without_a_server_is_named(tmp_path) -> None:
    with pytest.raises(NotConnectedError, match="nobody"):
        async with Client(f"unix://{tmp_path}/nobody.sock"):
            pass


async def test_the_blocking_twin_does_the_same(redis_url: str) -> None:
    def script() -> list[str | None]:
        with SyncClient(redis_url) as client:
            first = client.run("first", wait=60)
            ids = client.submit_many(["second", "third"])
            others = {result.id: result for result in client.results(ids)}
            assert client.cancel(ids[0]) is client.status(ids[0]).state is JobState.SUCCEEDED
            return [first.output.text, *(others[job_id].output.text for job_id in ids)]

    async with working(redis_url):
        assert await asyncio.to_thread(script) == ["first", "second", "third"]


async def test_blocking_results_may_be_left_early_and_even_after_the_client(redis_url: str) -> None:
    def script() -> None:
        with SyncClient(redis_url) as client:
            ids = client.submit_many(["first", "second"])
            for _ in client.results(ids):
                break
            assert client.run("the client works on", wait=60).succeeded
            left = client.results(ids)
            next(left)
        del left
        gc.collect()

    async with working(redis_url):
        await asyncio.to_thread(script)
