"""Lanes on a real server: a batch shares the host with others, and every job has its turn."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from tests.integration.queue.workers import Held, HostOf, lapse, succeeded, take, until, working

from spacedock._wire import keys
from spacedock._wire.lanes import Priority
from spacedock.client import Client
from spacedock.request import JobRequest
from spacedock.result import JobResult, Timings
from spacedock.states import JobState
from spacedock_worker.queue.choose import HostOffer, Supply
from spacedock_worker.queue.job_store import JobStore, LeaseState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob


class Order:
    """A handler that notes in which order jobs run; it says that each took as long as any other."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        self.prompts.append(job.request.prompt)
        await asyncio.sleep(0.002)
        return succeeded(job).model_copy(update={"timings": Timings(call=0.01)})


async def ended(client: Client, ids: list[str]) -> None:
    """Wait for these jobs."""
    async with asyncio.timeout(60):
        async for result in client.results(ids):
            assert result.state is JobState.SUCCEEDED


async def test_a_single_prompt_does_not_wait_for_a_batch_before_it(client: Client, redis_url: str) -> None:
    order = Order()
    ids = await client.submit_many(f"batch {number}" for number in range(500))
    async with working(redis_url, order, max_jobs=4):
        await until(lambda: begun(order, 20))
        single = await client.submit("single")
        before = len(order.prompts)
        await ended(client, [single, *ids])
    assert order.prompts.index("single") - before < 20, order.prompts


async def begun(order: Order, count: int) -> bool:
    return len(order.prompts) >= count


async def test_two_batches_advance_side_by_side(client: Client, redis_url: str) -> None:
    order = Order()
    first = await client.submit_many(f"a {number}" for number in range(100))
    second = await client.submit_many(f"b {number}" for number in range(100))
    async with working(redis_url, order, max_jobs=4):
        await ended(client, [*first, *second])
    half = [prompt[0] for prompt in order.prompts[:100]]
    assert 40 <= half.count("a") <= 60, order.prompts


async def test_priorities_share_by_their_weights_and_low_goes_on(client: Client, redis_url: str) -> None:
    order = Order()
    ids: list[str] = []
    for priority in Priority:
        requests = [JobRequest(prompt=priority.value, priority=priority) for _ in range(150)]
        ids += await client.submit_many(requests)
    async with working(redis_url, order, max_jobs=2):
        await ended(client, ids)
    early = order.prompts[:150]
    assert early.count("high") > early.count("normal") > early.count("low") > 0, early


async def test_two_workers_share_by_what_each_has_free(client: Client, redis_url: str) -> None:
    held = Held(), Held()
    offer = HostOffer(2, {"x": Supply(2, 1, 10.0, 1.0)})
    ids = await client.submit_many([JobRequest(prompt=str(n), space="x") for n in range(4)])
    one, other = HostOf("one", offer), HostOf("other", offer)
    async with working(redis_url, held[0], capacity=one), working(redis_url, held[1], capacity=other):
        await until(lambda: begins(held, 2))
        for handler in held:
            handler.go.set()
        await ended(client, ids)


async def begins(held: tuple[Held, Held], each: int) -> bool:
    return all(len(handler.runs) >= each for handler in held)


async def test_what_was_only_claimed_goes_back_at_once_when_a_worker_stops(
    client: Client, redis_url: str, redis: Redis
) -> None:
    started = asyncio.Event()

    async def waits(job: TakenJob, tell: Emit) -> JobResult:
        await job.at_work(False)
        started.set()
        await asyncio.Event().wait()
        return succeeded(job)

    ids = await client.submit_many(["a", "b", "c"])
    async with working(redis_url, waits) as worker:
        await started.wait()
        async with asyncio.timeout(60):
            await worker.drain(30)
        assert [(await client.status(job_id)).state for job_id in ids] == [JobState.QUEUED] * 3
    assert sorted(job.id for job in await take(JobStore(redis, "next"))) == sorted(ids)


async def test_jobs_of_an_earlier_release_are_put_into_lanes(
    client: Client, redis_url: str, redis: Redis
) -> None:
    ids = await client.submit_many(str(number) for number in range(700))
    for key in [keys.LANES, *await redis.keys(f"{keys.LANE}*"), *await redis.keys(f"{keys.WAITING}*")]:
        await redis.delete(key)
    for job_id in ids[:300]:
        await redis.hdel(keys.job(job_id), "lane", "target")  # type: ignore[misc]
    async with working(redis_url):
        await ended(client, ids)


async def test_rubbish_in_the_place_of_lanes_stops_nobody(
    client: Client, redis_url: str, redis: Redis
) -> None:
    await redis.set(keys.LANES, "rubbish")
    await redis.set(keys.HELD, "rubbish")
    await redis.lpush(keys.VIRTUAL, "rubbish")  # type: ignore[misc]
    job_id = await client.submit("one")
    (lane,) = await redis.zrange(keys.LANES, 0, -1)
    for prefix in (keys.LANE, keys.WAITING):
        await redis.set(prefix + lane.decode() + ("|" if prefix == keys.WAITING else ""), "rubbish")
    await redis.zadd(keys.LANES, {b"\xff|\x00": 0, "none": -5})
    other = await client.submit("two")
    async with working(redis_url):
        await ended(client, [job_id, other])
    assert await redis.zcard(keys.QUEUE) == 0


async def test_a_queue_that_is_done_leaves_its_clock_and_what_is_kept_for_a_while(
    client: Client, redis_url: str, redis: Redis
) -> None:
    cancelled = await client.submit("never")
    await client.cancel(cancelled)
    ids = await client.submit_many(["a", "b"])
    async with working(redis_url):
        await ended(client, ids)
    (batch,) = await client.batches()
    kept = {*map(keys.job, [cancelled, *ids]), keys.BATCH + batch.id, keys.BATCH_JOBS + batch.id, keys.EVENTS}
    assert {key.decode() for key in await redis.keys("*")} - {keys.VIRTUAL} == kept
    assert [key for key in kept if await redis.ttl(key) < 0] == []


async def test_a_claim_whose_answer_was_lost_is_told_again_when_its_lease_has_run_out(
    client: Client, redis: Redis
) -> None:
    store = JobStore(redis, "only")
    job_id = await client.submit("prompt")
    assert [job.id for job in await take(store)] == [job_id]
    claims, _ = await store.take()
    assert claims == []
    await lapse(redis, job_id)
    claims, _ = await store.take()
    assert [job.id for job in claims] == [job_id]
    assert (await store.renew([job_id]))[job_id] is LeaseState.HELD
