"""Several hosts at one queue: each takes the jobs that it can run, and those that are paused none."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, HostOf, until, working

from spacedock._wire import keys
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.hosts import Host
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue import worker
from spacedock_worker.queue.choose import HostOffer, Supply
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

ROOMY = HostOffer(8)


async def there(client: Client, count: int) -> bool:
    """Whether so many hosts have published themselves."""
    return sum(host.alive for host in await client.hosts()) >= count


async def test_a_job_goes_to_the_host_that_has_its_space(client: Client, redis_url: str) -> None:
    mine, others = Held(), Held()
    mine.go.set()
    others.go.set()
    one, other = HostOf("one", ROOMY, frozenset({"x"})), HostOf("other", ROOMY, frozenset({"y"}))
    async with working(redis_url, mine, capacity=one), working(redis_url, others, capacity=other):
        await until(lambda: there(client, 2))
        for space in ("x", "y", "x", "y"):
            assert (await client.run("prompt", space=space, wait=60)).succeeded
        assert (len(mine.runs), len(others.runs)) == (2, 2)


async def test_a_job_waits_for_a_host_that_is_away_and_a_name_of_nobody_is_told_at_once(
    client: Client, redis_url: str
) -> None:
    here, there_ = Held(), Held()
    here.go.set()
    there_.go.set()
    one, other = HostOf("one", ROOMY, frozenset({"x"})), HostOf("other", ROOMY, frozenset({"y"}))
    async with working(redis_url, here, capacity=one):
        async with working(redis_url, there_, capacity=other):
            await until(lambda: there(client, 2))
        waits, typo = await client.submit("prompt", space="y"), await client.submit("prompt", space="z")
        # Its handler, which knows the registry, says that there is no such Space.
        assert (await client.result(typo, wait=60)).id in here.runs
        status = await client.status(waits)
        assert (status.state, status.waits_for) == (
            JobState.QUEUED,
            "waits for a host that has 'y': other is gone",
        )
        assert [(host.name, host.alive) for host in await client.serving("y")] == [("", False)]
        async with working(redis_url, there_, capacity=other):
            assert (await client.result(waits, wait=60)).succeeded
        assert waits not in here.runs


async def test_a_paused_host_takes_nothing_and_ends_what_it_has(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held, capacity=HostOf("one", ROOMY)):
        await until(lambda: there(client, 1))
        first = await client.submit("first")
        await held.began.get()
        assert (await client.pause_host("one")).paused
        second = await client.submit("second")
        held.go.set()
        assert (await client.result(first, wait=60)).succeeded
        paused = "waits for a paused host: one is paused (`spacedock hosts resume one`)"
        assert (await client.status(second)).waits_for == paused
        (host,) = await client.hosts()
        assert (host.name, host.paused, host.alive) == ("one", True, True)
        await client.pause_host("one", paused=False)
        assert (await client.result(second, wait=60)).succeeded


async def test_a_host_is_drained_once_what_it_has_is_done(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RENEW_SECONDS", 0.5)
    held, seen = Held(), asyncio.Event()

    def waiting(host: Host) -> None:
        if host.jobs == 1:
            seen.set()

    async with working(redis_url, held, capacity=HostOf("one", ROOMY)):
        await until(lambda: there(client, 1))
        job = await client.submit("first")
        await held.began.get()
        draining = asyncio.create_task(client.drain_host("one", waiting))
        await asyncio.wait_for(seen.wait(), 60)
        assert not draining.done()
        held.go.set()
        host = await asyncio.wait_for(draining, 60)
        assert (host.jobs, host.paused, host.alive) == (0, True, True)
        assert (await client.result(job, wait=60)).succeeded
        # Who lets it take jobs again ends the wait of others.
        held.go.clear()
        await client.pause_host("one", paused=False)
        await client.submit("second")
        await held.began.get()
        again = asyncio.create_task(client.drain_host("one"))
        await until(lambda: paused(client))
        await client.pause_host("one", paused=False)
        with pytest.raises(BadRequestError, match="resumed"):
            await asyncio.wait_for(again, 60)
        held.go.set()


async def paused(client: Client) -> bool:
    return any(host.paused for host in await client.hosts())


async def test_a_waiting_job_says_what_is_before_it(client: Client, redis_url: str) -> None:
    nobody = "no host works on this queue: start one with `spacedockd`"
    assert (await client.status(await client.submit("x"))).waits_for == nobody
    held = Held()
    async with working(redis_url, held, max_jobs=1, capacity=HostOf("one", ROOMY)):
        await held.began.get()
        await until(lambda: there(client, 1))
        ids = await client.submit_many(["a", "b", "c"])
        assert (await client.status(await client.submit("y"))).waits_for.startswith("the next of the same")
        status = await client.status(ids[2])
        assert status.waits_for.startswith("behind 2 jobs of its batch, in turn with 1 other lane")
        held.go.set()
        assert (await client.result(ids[2], wait=60)).succeeded
    assert (await client.status(ids[2])).waits_for == ""


async def test_a_job_that_waits_here_goes_to_a_host_that_can_start_it(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RENEW_SECONDS", 0.5)
    container, waiting = asyncio.Lock(), asyncio.Event()
    hand, other = Held(), Held()
    other.go.set()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        await job.at_work(False)
        if container.locked():
            waiting.set()
        async with container:
            await job.at_work(True)
            return await hand(job, tell)

    offer, serves = HostOffer(3, {"x": Supply(1, call=0.1)}), frozenset({"x"})
    async with working(redis_url, handle, capacity=HostOf("one", offer, serves)):
        ids = await client.submit_many([JobRequest(prompt=str(n), space="x") for n in range(2)])
        async with asyncio.timeout(60):
            await waiting.wait()
            async with working(redis_url, other, capacity=HostOf("other", offer, serves)):
                assert await other.began.get() == ids[1]
                assert (await client.result(ids[1])).succeeded
                assert hand.runs == ids[:1]
        hand.go.set()
        assert (await client.result(ids[0], wait=60)).succeeded


async def test_a_name_that_is_no_host_is_told_with_those_that_there_are(
    client: Client, redis_url: str
) -> None:
    async with working(redis_url, capacity=HostOf("one", ROOMY)):
        await until(lambda: there(client, 1))
        with pytest.raises(BadRequestError, match=r"no host 'two' at this queue\. There are: one"):
            await client.pause_host("two")


async def test_rubbish_among_the_hosts_stops_nobody(client: Client, redis_url: str, redis: Redis) -> None:
    await redis.zadd(keys.HOSTS, {b"\xff": 2e10, "odd": 2e10})
    await redis.set(keys.HOST + "odd", "rubbish")
    async with working(redis_url, capacity=HostOf("one", ROOMY, frozenset({"x"}))):
        async with asyncio.timeout(60):
            assert (await client.run("prompt", space="x")).succeeded
        assert (await client.run("prompt", space="unknown", wait=60)).succeeded
    assert {host.id for host in await client.hosts()} >= {"odd", "one"}
