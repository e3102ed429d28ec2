"""Server-sent events: of all jobs and of one, for many listeners, and taken up again by their numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.door import Door, opened
from tests.integration.http.sse import frames
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import Held, until, working

from spacedock.client import Client
from spacedockd.valkey import server_binary


@pytest.fixture
async def door(redis_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(redis_url, tmp_path) as door:
        yield door


async def listened(
    session: aiohttp.ClientSession, count: int, begun: asyncio.Event | None = None, after: int | None = None
) -> list[dict[str, Any]]:
    """So many events; `begun` is set when the first line has come."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    found: list[dict[str, Any]] = []
    async with session.get("/events", headers=headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        async for frame in frames(response):
            if begun is not None:
                begun.set()
            if "job_id" in frame:
                found.append(frame)
            if len(found) == count:
                break
    return found


async def jobs(url: str, count: int) -> list[str]:
    async with Client(url) as client:
        ids = await client.submit_many([f"job {n}" for n in range(count)])
        return sorted([result.id async for result in client.results(ids)])


async def test_a_job_is_followed_from_its_beginning_to_its_end(door: Door, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held), Client(redis_url) as client:
        job_id = await client.submit("x")
        await held.began.get()
        async with door.session.get(f"/jobs/{job_id}/events") as response:
            rows = frames(response)
            assert "job_id" not in await anext(rows)
            held.go.set()
            told = [frame async for frame in rows]
        assert (told[-1]["job_id"], told[-1]["state"]) == (job_id, "succeeded")
        # Again, after its end: the same.
        async with door.session.get(f"/jobs/{job_id}/events") as response:
            assert [frame async for frame in frames(response) if "job_id" in frame] == told
        last = {"Last-Event-ID": str(told[-1]["number"])}
        async with door.session.get(f"/jobs/{job_id}/events", headers=last) as response:
            assert [frame async for frame in frames(response) if "job_id" in frame] == []


async def test_a_batch_is_followed_to_its_end(door: Door, redis_url: str) -> None:
    async with working(redis_url), Client(redis_url) as client:
        async with door.session.post("/batches", json={"jobs": [{"prompt": "a"}, {"prompt": "b"}]}) as made:
            submitted = await made.json()
        async with door.session.get(f"/batches/{submitted['batch']['id']}/events") as response:
            ended = {frame["job_id"] async for frame in frames(response) if frame.get("state")}
        assert ended == set(submitted["jobs"])
        assert (await client.batch_status(submitted["batch"]["id"])).left == 0


async def test_fifty_listeners_hear_every_event_in_order(door: Door, redis_url: str) -> None:
    begun = [asyncio.Event() for _ in range(50)]
    async with working(redis_url), asyncio.TaskGroup() as group:
        tasks = [group.create_task(listened(door.session, 20, one)) for one in begun]
        await asyncio.gather(*(one.wait() for one in begun))
        ids = await jobs(redis_url, 20)
    for task in tasks:
        rows = task.result()
        assert sorted(row["job_id"] for row in rows) == ids
        assert [row["number"] for row in rows] == sorted(row["number"] for row in rows)


async def test_a_listener_goes_on_where_it_was_at_another_door(
    door: Door, redis_url: str, tmp_path: Path
) -> None:
    async with working(redis_url):
        begun = asyncio.Event()
        first = asyncio.create_task(listened(door.session, 5, begun))
        await begun.wait()
        ids = await jobs(redis_url, 30)
        rows = await first
        await door.server.stop()
        async with opened(redis_url, tmp_path / "next") as other:
            more = await listened(other.session, 25, after=rows[-1]["number"])
            new = asyncio.Event()
            live = asyncio.create_task(listened(other.session, 26, new, after=rows[-1]["number"]))
            await new.wait()
            (last,) = await jobs(redis_url, 1)
            assert (await live)[:25] == more
            assert live.result()[-1]["job_id"] == last
    assert sorted(row["job_id"] for row in rows + more) == ids
    assert len({row["number"] for row in rows + more}) == 30


async def test_a_number_of_a_queue_that_was_emptied_begins_anew(door: Door, redis_url: str) -> None:
    async with working(redis_url):
        ids = await jobs(redis_url, 2)
        rows = await listened(door.session, 2, after=1_000_000)
        assert sorted(row["job_id"] for row in rows) == ids


@pytest.mark.parametrize("number", ["-1", "x", "9" * 20])
async def test_what_is_no_number_of_an_event_is_refused(door: Door, number: str) -> None:
    async with door.session.get("/events", headers={"Last-Event-ID": number}) as response:
        assert response.status == 400


async def test_listeners_and_waits_outlive_a_restart_of_the_queue(tmp_path: Path) -> None:
    server = Server(server_binary(), tmp_path)
    server.start()
    try:
        async with opened(server.url, tmp_path) as door:
            begun = asyncio.Event()
            listener = asyncio.create_task(listened(door.session, 3, begun))
            await begun.wait()
            waits = {"Prefer": "wait=60"}
            asked = asyncio.create_task(door.session.post("/jobs", json={"prompt": "x"}, headers=waits))
            async with Client(server.url) as client:

                async def is_there() -> bool:
                    return bool(await client.jobs())

                await until(is_there)
            server.stop()
            async with door.session.get("/jobs") as response:
                assert (response.status, (await response.json())["error"]["code"]) == (503, "queue_away")
            server.start()
            async with working(server.url):
                async with await asked as response:
                    assert (await response.json())["state"] == "succeeded"
                await jobs(server.url, 2)
                rows = await listener
        assert len({row["number"] for row in rows}) == 3
    finally:
        server.stop()
