"""The real gradio_client at the HTTP door, towards a real queue; the Space is scripted, so it can be slow."""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client as GradioClient
from gradio_client.exceptions import AppError, AuthenticationError, ValidationError
from tests.door import Door, opened
from tests.integration.queue.workers import succeeded, working

from spacedock.client import Client
from spacedock.files import payload_of
from spacedock.request import Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.http.gradio import routes, spaces

INPUT = {"name": "text", "label": "Text", "component": "textbox", "position": 0, "required": True}
INPUT |= {"default": None, "choices": [], "several": False, "file": False}
ROW = {"endpoint": "/say", "inputs": [INPUT], "outputs": ["textbox"], "visible": True}

pytestmark = pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")


def failed(job_id: str, kind: ErrorKind, why: str) -> JobResult:
    error = AttemptError(kind=kind, message=why)
    attempt = Attempt(tier=Tier.HEAVY, name="space", stage=Stage.CALL, error=error)
    return JobResult(id=job_id, state=JobState.FAILED, attempts=(attempt,))


class ScriptedSpace:
    """Describes itself while it may, and says what it is told to say."""

    def __init__(self) -> None:
        self.starts, self.goes_on = asyncio.Event(), asyncio.Event()
        self.starts.set()
        self.goes_on.set()
        self.asked = asyncio.Queue[str]()

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        request = job.request
        if request.space == "nowhere":
            return failed(job.id, ErrorKind.SPACE_NOT_FOUND, "no Space 'nowhere'")
        if request.explain:
            await self.starts.wait()
            return succeeded(job).model_copy(update={"output": Output(data=[ROW])})
        if request.space != "ada/talker":
            return failed(job.id, ErrorKind.APP_ERROR, "out of coffee")
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
    connecting = asyncio.create_task(connected(door, httpx_kwargs={"timeout": 2.0}))
    # Longer than the client waits for a byte.
    await asyncio.sleep(2.5)
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


async def test_a_client_goes_on_calling_after_a_restart_before_its_space_has_started(
    redis_url: str, tmp_path: Path, space: ScriptedSpace
) -> None:
    join, body = "/spaces/ada/talker/gradio_api/queue/join", {"data": ["x"], "session_hash": "s"}
    async with (
        working(redis_url, space),
        opened(redis_url, tmp_path) as door,
        door.session.get("/spaces/ada/talker/gradio_api/info") as response,
    ):
        assert "/say" in (await response.json())["named_endpoints"]
    # Nobody can start the Space now.
    async with (
        opened(redis_url, tmp_path) as door,
        asyncio.timeout(60),
        door.session.post(join, json=body | {"fn_index": zlib.crc32(b"/say")}) as response,
    ):
        assert (response.status, list(await response.json())) == (200, ["event_id"])


async def test_a_files_address_is_that_of_the_proxy_which_was_asked(
    redis_url: str, tmp_path: Path, space: ScriptedSpace
) -> None:
    picture = payload_of("cat.png", b"\x89PNG").ref

    async def drawn(job: TakenJob, tell: Emit) -> JobResult:
        if job.request.explain:
            return await space(job, tell)
        output = Output(data=[{"file": "cat.png", "index": 0}], files=(picture,))
        return succeeded(job).model_copy(update={"output": output})

    proxy = {"X-Forwarded-Host": "queue.example", "X-Forwarded-Proto": "https"}
    names = {"trusted_proxies": ("127.0.0.0/8",), "allowed_hosts": ("queue.example",)}
    async with working(redis_url, drawn), opened(redis_url, tmp_path, **names) as door:
        url = "/spaces/ada/talker/gradio_api/call/say"
        async with door.session.post(url, json={"data": ["a cat"]}, headers=proxy) as response:
            job = (await response.json())["event_id"]
        async with door.session.get(f"{url}/{job}", headers=proxy) as response:
            assert '"url": "https://queue.example/spaces/ada/talker/gradio_api/file=' in await response.text()


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


async def test_a_call_can_be_cancelled(door: Door, redis_url: str, space: ScriptedSpace) -> None:
    client = await connected(door)
    space.goes_on.clear()
    job = client.submit("hello", api_name="/say")
    job_id = await space.asked.get()
    assert await asyncio.to_thread(job.cancel)
    assert await outcome(redis_url, job_id) is JobState.CANCELLED


async def test_a_client_that_goes_away_cancels_its_call(
    door: Door, redis_url: str, space: ScriptedSpace
) -> None:
    space.goes_on.clear()
    script = (
        "import gradio_client, sys\n"
        f"url, token = '{door.url}/spaces/ada/talker', '{door.token}'\n"
        "job = gradio_client.Client(url, token=token, verbose=False).submit('hello')\n"
        "print(next(job), flush=True)\n"
        "sys.stdin.read()"
    )
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "ignore", "-c", script, **pipes)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"hel\n"
    job_id = await space.asked.get()
    process.kill()
    await process.wait()
    assert await outcome(redis_url, job_id) is JobState.CANCELLED


async def outcome(redis_url: str, job_id: str) -> JobState:
    async with Client(redis_url) as client:
        return (await client.result(job_id, wait=60)).state


async def test_refusals_say_why(door: Door) -> None:
    client = await connected(door)
    with pytest.raises(ValidationError, match="/say takes 1 inputs, and 2 are given"):
        await asyncio.to_thread(client.predict, "a", "b", api_name="/say")
    with pytest.raises(ValueError, match="no Space 'nowhere'"):
        await connected(door, "nowhere")
    with pytest.raises(AppError, match="out of coffee"):
        await said(await connected(door, "broken"), "hello")
    with pytest.raises(AuthenticationError):
        await connected(replace(door, token="none"))
