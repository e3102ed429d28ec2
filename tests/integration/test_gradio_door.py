"""The real gradio_client at the HTTP door, towards a real queue; the Space is scripted, so it can be slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client as GradioClient
from tests.door import Door, opened
from tests.integration.queue.workers import succeeded, working

from spacedock.result import JobResult, Output, Stage
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.http.gradio import routes, spaces

ROW = {
    "endpoint": "/say",
    "inputs": [{"name": "text", "component": "textbox", "position": 0, "required": True}],
    "outputs": ["textbox"],
    "visible": True,
}

pytestmark = pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")


class ScriptedSpace:
    """Describes itself while it may, and says what it is told to say."""

    def __init__(self) -> None:
        self.starts, self.goes_on = asyncio.Event(), asyncio.Event()
        self.starts.set()
        self.goes_on.set()
        self.asked = asyncio.Queue[str]()

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        request = job.request
        if request.explain:
            await self.starts.wait()
            return succeeded(job).model_copy(update={"output": Output(data=[ROW])})
        self.asked.put_nowait(job.id)
        tell(Stage.CALL, "say", "answering", str(request.inputs["text"])[:3])
        await self.goes_on.wait()
        return succeeded(job).model_copy(update={"output": Output(data=[request.inputs["text"]])})


@pytest.fixture
def space() -> ScriptedSpace:
    return ScriptedSpace()


@pytest.fixture
async def door(redis_url: str, tmp_path: Path, space: ScriptedSpace) -> AsyncIterator[Door]:
    async with working(redis_url, space, max_jobs=64), opened(redis_url, tmp_path) as door:
        yield door


async def connected(door: Door, name: str = "ada/talker", **options: Any) -> GradioClient:
    def connect() -> GradioClient:
        url = f"{door.url}/spaces/{name}"
        return GradioClient(url, token=door.token, verbose=False, analytics_enabled=False, **options)

    return await asyncio.to_thread(connect)


async def said(client: GradioClient, text: str) -> Any:
    return await asyncio.to_thread(client.predict, text, api_name="/say")


async def test_a_client_waits_for_a_space_that_takes_long_to_start(
    door: Door, space: ScriptedSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_ALIVE_SECONDS", 0.05)
    space.starts.clear()
    connecting = asyncio.create_task(connected(door, httpx_kwargs={"timeout": 0.5}))
    # Longer than the client waits for a byte.
    await asyncio.sleep(1)
    assert not connecting.done()
    space.starts.set()
    assert await said(await connecting, "hello") == "hello"


async def test_a_call_does_not_wait_until_its_space_has_described_itself_again(
    door: Door, space: ScriptedSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spaces, "_FRESH_SECONDS", 0.0)
    client = await connected(door)
    space.starts.clear()
    another = asyncio.create_task(connected(door))
    assert await said(client, "still there") == "still there"
    space.starts.set()
    assert await said(await another, "here too") == "here too"


async def test_many_calls_of_one_client_are_told_apart(door: Door) -> None:
    client = await connected(door, httpx_kwargs={"timeout": 60})
    texts = [f"number {n}" for n in range(40)]
    jobs = [client.submit(text, api_name="/say") for text in texts]
    assert await asyncio.to_thread(lambda: [job.result(60) for job in jobs]) == texts


async def test_one_call_after_the_other_opens_a_stream_each(door: Door) -> None:
    client = await connected(door)
    assert [await said(client, str(n)) for n in range(5)] == [str(n) for n in range(5)]


async def test_a_door_that_closes_says_so(door: Door, space: ScriptedSpace) -> None:
    client = await connected(door)
    space.goes_on.clear()
    job = client.submit("hello", api_name="/say")
    assert await asyncio.to_thread(next, job) == "hel"
    await door.server.stop()
    with pytest.raises(ValueError, match="Server stopped"):
        await asyncio.to_thread(job.result, 20)
