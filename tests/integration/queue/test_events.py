"""Events of all jobs in one stream: replayed by their numbers, and what is missed is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from redis.asyncio import Redis
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import succeeded, take, working

from spacedock._wire import keys, stream, wire
from spacedock.cli.commands.logs import fresh, logs, watch
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.events import Event
from spacedock.request import JobRequest, Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Stage
from spacedock.states import JobState
from spacedock.sync import SyncClient
from spacedock_worker.queue.job_store import JobStore
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob


async def painter(job: TakenJob, tell: Emit) -> JobResult:
    """A handler that tells of itself."""
    tell(Stage.CALL, "painter", "painting", None)
    return succeeded(job)


async def some(events: AsyncGenerator[Event], count: int) -> list[Event]:
    """The next so many events."""
    async with aclosing(events), asyncio.timeout(60):
        return [await anext(events) for _ in range(count)]


async def told(redis: Redis, count: int, first: int = 1) -> None:
    """Tell so many events of a worker as scripts do, whatever the cap."""
    for number in range(first, first + count):
        event = wire.encode(Event(job_id=f"job-{number}", message=str(number)))
        await redis.xadd(keys.EVENTS, {"batch": "", "at": number, "event": event}, id="0-*")


async def test_who_comes_late_catches_up_from_any_number(client: Client, redis_url: str) -> None:
    async with working(redis_url, painter), asyncio.timeout(60):
        first, second = (await client.run("x")).id, (await client.run("y")).id
    events = await some(client.events(after=0), 4)
    assert [event.job_id for event in events] == [first, first, second, second]
    assert [event.id for event in events] == [1, 2, 3, 4]
    assert [event.state for event in events] == [None, JobState.SUCCEEDED] * 2
    assert events == sorted(events, key=lambda event: event.at)
    assert await some(client.events(after=2), 2) == events[2:]
    assert [event async for event in client.watch(second)] == events[2:]


async def test_the_event_of_the_end_has_the_jobs_labels(client: Client, redis_url: str) -> None:
    labels = {"id": "7", "of": "März"}
    await client.cancel(await client.submit("x", labels=labels))
    async with working(redis_url, painter), asyncio.timeout(60):
        await client.run("x", labels=labels)
        await client.run("x", labels=labels, privacy=True)
    events = await some(client.events(after=0), 5)
    assert [event.labels for event in events] == [labels, {}, labels, {}, {}]


async def test_without_a_number_only_what_comes_is_told(client: Client, redis: Redis) -> None:
    await told(redis, 3)
    async with asyncio.timeout(60), aclosing(client.events()) as events:
        coming = asyncio.ensure_future(anext(events))
        while not coming.done():
            # There is no telling that somebody reads.
            await told(redis, 1, first=4)
            await asyncio.sleep(0.01)
    assert (await coming).message == "4"


async def test_a_reader_that_fell_behind_is_told_how_many_events_it_missed(
    client: Client, redis: Redis
) -> None:
    await told(redis, 3)
    async with asyncio.timeout(60), aclosing(client.events(after=1)) as events:
        assert (await anext(events)).message == "2"
        assert (await anext(events)).message == "3"
        await told(redis, 7, first=4)
        await redis.xtrim(keys.EVENTS, maxlen=2, approximate=False)
        missed, *came = [await anext(events) for _ in range(3)]
    assert (missed.missed, missed.id, missed.job_id) == (5, 8, "")
    assert missed.message == "5 events before this one are no longer kept"
    assert [event.id for event in came] == [9, 10]
    first, *_ = await some(client.events(after=0), 1)
    assert first.missed == 8


async def test_the_stream_keeps_about_so_many_events(client: Client, redis: Redis) -> None:
    await told(redis, stream.KEPT // 100)
    filler = {"batch": "", "at": 0, "event": "x"}
    async with redis.pipeline(transaction=False) as pipe:
        for _ in range(2 * stream.KEPT):
            pipe.xadd(keys.EVENTS, filler, id="0-*")
        await pipe.execute()
    await client.cancel(await client.submit("x"))
    assert stream.KEPT <= await redis.xlen(keys.EVENTS) < 1.1 * stream.KEPT


async def test_a_reader_goes_on_when_all_events_are_gone(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_QUIET_MS", 50)
    await told(redis, 5)
    async with asyncio.timeout(60), aclosing(client.events(after=4)) as events:
        assert (await anext(events)).id == 5
        await redis.delete(keys.EVENTS)
        await told(redis, 1, first=100)
        event = await anext(events)
    assert (event.id, event.message) == (1, "100")


async def test_a_reader_tells_nothing_twice_when_the_last_events_were_lost(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_QUIET_MS", 50)
    await told(redis, 5)
    async with asyncio.timeout(60), aclosing(client.events(after=0)) as events:
        assert [(await anext(events)).id for _ in range(5)] == [1, 2, 3, 4, 5]
        await redis.delete(keys.EVENTS)
        await told(redis, 3)
        await told(redis, 1, first=9)
        event = await anext(events)
    assert (event.id, event.message) == (4, "9")


async def test_a_reader_misses_nothing_where_numbers_began_again_and_went_past_its_own(
    client: Client, redis: Redis
) -> None:
    await told(redis, 2)
    async with asyncio.timeout(60), aclosing(client.events(after=0)) as events:
        assert [(await anext(events)).id for _ in range(2)] == [1, 2]
        await redis.delete(keys.EVENTS)
        await told(redis, 4, first=100)
        came = [await anext(events) for _ in range(4)]
    assert [(event.id, event.message) for event in came] == [(1, "100"), (2, "101"), (3, "102"), (4, "103")]


async def test_events_are_read_through_a_restart_of_the_server(own_server: Server) -> None:
    async with (
        Client(own_server.url) as client,
        asyncio.timeout(60),
        aclosing(client.events(after=0)) as events,
    ):
        await client.cancel(await client.submit("x"))
        assert (await anext(events)).id == 1
        coming = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        own_server.stop()
        own_server.start()
        await client._redis.connection_pool.disconnect()
        job_id = await client.submit("y")
        await client.cancel(job_id)
        assert ((await coming).id, (await coming).job_id) == (2, job_id)


async def test_a_batch_is_watched_until_its_last_job_has_ended(client: Client, redis_url: str) -> None:
    async with working(redis_url, painter), asyncio.timeout(60):
        ids = await client.submit_many([JobRequest(prompt=str(n), batch_id="night") for n in range(5)])
        await client.submit("single")
        events = [event async for event in client.watch("night")]
    assert {event.job_id for event in events} == set(ids)
    assert {event.batch for event in events} == {"night"}
    assert sum(event.state is JobState.SUCCEEDED for event in events) == 5


async def test_a_lost_workers_late_events_are_not_told(client: Client, redis: Redis) -> None:
    job_id = await client.submit("x")
    await take(JobStore(redis, "one"), 1)
    event = Event(job_id=job_id, stage=Stage.CALL, name="n", message="m")
    await JobStore(redis, "another").tell(event)
    assert await redis.xlen(keys.EVENTS) == 0
    await JobStore(redis, "one").tell(event)
    assert await redis.xlen(keys.EVENTS) == 1


async def test_the_first_event_since_a_time_is_found(client: Client, redis: Redis) -> None:
    assert await stream.before(redis, 5.0) == 0
    await told(redis, 20)
    assert [await stream.before(redis, at) for at in (1.0, 2.0, 10.5, 20.0, 21.0)] == [0, 1, 10, 19, 20]
    await redis.xtrim(keys.EVENTS, maxlen=5, approximate=False)
    assert [await stream.before(redis, at) for at in (3.0, 17.0, 30.0)] == [0, 16, 20]


def test_events_come_without_asyncio_too(shared_server: object, redis_url: str) -> None:
    with SyncClient(redis_url) as client:
        job_id = client.submit("x")
        client.cancel(job_id)
        (event,) = client.watch(job_id)
        assert (event.job_id, event.state) == (job_id, JobState.CANCELLED)
        assert next(client.events(after=0)) == event


async def chained(job: TakenJob, tell: Emit) -> JobResult:
    """A handler whose first Space crashes."""
    tell(Stage.START, "painter", "starting its container", None)
    error = AttemptError(kind=ErrorKind.CRASHED, message="the app ended with exit code 1\nno module named x")
    failed = Attempt(tier=Tier.HEAVY, name="painter", stage=Stage.READY, error=error, seconds=4.0)
    return succeeded(job).model_copy(update={"attempts": (failed, *succeeded(job).attempts)})


async def test_a_job_has_a_story(client: Client, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with working(redis_url, chained), asyncio.timeout(60):
        job_id = (await client.run("never told", space="painter")).id
        private = (await client.run("hush", privacy=True)).id
    assert (await client.story(job_id)).result == await client.result(job_id)
    capsys.readouterr()
    await asyncio.to_thread(logs, job_id, None, False, 100, redis=redis_url)
    said = capsys.readouterr().out
    assert "for painter\n" in said.splitlines(keepends=True)[0]
    assert "painter: start: starting its container" in said
    assert "painter (heavy) failed at ready after 4.0 s: the app ended with exit code 1" in said
    assert "no module named x" in said
    assert "succeeded: " in said.splitlines()[-1]
    assert "never told" not in said
    with pytest.raises(BadRequestError, match="it runs in privacy mode"):
        await client.story(private)


async def test_a_story_is_followed_to_its_end(
    client: Client, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = await client.submit("x", space="painter")
    following = asyncio.create_task(asyncio.to_thread(logs, job_id, None, True, 100, redis=redis_url))
    async with working(redis_url, painter), asyncio.timeout(60):
        await following
    said = capsys.readouterr().out.splitlines()
    assert sum("painting" in line for line in said) == 1
    assert "succeeded: " in said[-1]


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ([], ["a"], ["a"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a", "b"], ["b", "c", "d"], ["c", "d"]),
        (["a", "10 %"], ["a", "20 %"], ["20 %"]),
        (["a"], ["x", "y"], ["x", "y"]),
    ],
)
def test_a_log_is_followed_line_by_line(before: list[str], now: list[str], new: list[str]) -> None:
    assert fresh(before, now) == new


def test_the_command_prints_events(
    shared_server: object, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with SyncClient(redis_url) as client:
        job_id = client.submit("x")
        client.cancel(job_id)
    watch(job_id, redis=redis_url)
    said = capsys.readouterr()
    assert said.out.split()[1:] == ["1", job_id, "cancelled"]
    watch(job_id, json=True, redis=redis_url)
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"
