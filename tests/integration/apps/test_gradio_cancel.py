"""Cutting a call off: what a real app still does, who else suffers, and what becomes of its container."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.apps import SPACES, Apps
from tests.leftovers import own_instance

from spacedock.request import JobRequest
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.chain import StepContext
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy

SPACE = "g-long"
STOPPABLE, DEAF = ("5.50.0", "6.31.0"), ("3.50.2", "4.8.0")
HEAR_SECONDS = 60.0
ENDED = "the call has ended"
# Each function of the Space beats ten times a second while it works, which is for two minutes.
STOP_SECONDS, STILL_BEATS = 30.0, 5


class Hearing:
    """Hears a call, and tells when it has come so far."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, message: str, partial: str | None = None) -> None:
        self._heard.put_nowait(message)

    async def until(self, wanted: str) -> None:
        """Return once it has heard that, from now on."""
        async with asyncio.timeout(HEAR_SECONDS):
            while (heard := await self._heard.get()) != wanted:
                assert heard != ENDED


@asynccontextmanager
async def under_way(call: Coroutine[Any, Any, object], hearing: Hearing, until: str) -> AsyncIterator[None]:
    """A call that has come so far when this block begins, and is cut off at its end."""
    task = asyncio.create_task(call)
    task.add_done_callback(lambda _: hearing(ENDED))
    try:
        await hearing.until(until)
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()


def calling(app: Adapter, endpoint: str, until: str) -> AbstractAsyncContextManager[None]:
    """A call of the app, under way."""
    hearing = Hearing()
    return under_way(app.call(AppCall("word", endpoint=endpoint), hearing), hearing, until)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Adapter]:
    app = await Opener().connect_to("sha256:test", Access())(url)
    assert app is not None
    try:
        yield app
    finally:
        await app.aclose()


async def beats(app: Adapter) -> tuple[int, int]:
    """How often the stream and the other function have been at work; told without the app's queue."""
    [counts] = (await app.call(AppCall("", endpoint="/beats"), Hearing())).data
    return counts["stream"], counts["work"]


async def stream_is_still(app: Adapter) -> bool:
    """Whether the stream does nothing while the other function goes on."""
    stream, work = await beats(app)
    while True:
        streamed, worked = await beats(app)
        if streamed > stream or worked >= work + STILL_BEATS:
            return streamed == stream


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest, apps: Apps) -> Iterator[str]:
    """The Space on that version; what cannot be stopped in it ends with its container."""
    yield apps.url(SPACE, request.param)
    apps.end(SPACE, request.param)


@pytest.mark.parametrize("url", STOPPABLE, indirect=True)
async def test_a_stream_that_is_cut_off_stops_and_others_go_on(url: str) -> None:
    async with connected(url) as mine, connected(url) as others:
        async with calling(others, "/work", until="running"):
            async with calling(mine, "/stream", until="answering"):
                assert not await stream_is_still(others)
            assert not mine.abandoned
            async with asyncio.timeout(STOP_SECONDS):
                while not await stream_is_still(others):
                    pass
            # The place in the app's queue is free again.
            async with calling(mine, "/stream", until="answering"):
                pass
            assert not mine.abandoned
        assert others.abandoned


@pytest.mark.parametrize("url", STOPPABLE, indirect=True)
async def test_a_call_that_is_cut_off_in_the_queue_hurts_nobody(url: str) -> None:
    async with connected(url) as mine, connected(url) as others, calling(others, "/stream", "answering"):
        async with calling(mine, "/stream", until="queue position 1"):
            pass
        assert not mine.abandoned
        before, _ = await beats(others)
        while (await beats(others))[0] < before + STILL_BEATS:
            pass


@pytest.mark.parametrize("url", DEAF, indirect=True)
@pytest.mark.parametrize(
    ("endpoint", "until", "left"), [("/stream", "answering", False), ("/work", "running", True)]
)
async def test_an_app_that_cannot_be_told_to_stop_ends_a_stream_that_nobody_hears(
    url: str, endpoint: str, until: str, left: bool
) -> None:
    async with connected(url) as app:
        async with calling(app, endpoint, until=until):
            assert not app.abandoned
        assert app.abandoned is left


class Runner:
    """The Space as the worker runs it, in a pool of its own."""

    def __init__(self, engine: Engine, pool: Pool[Adapter], owner: str) -> None:
        ca = os.environ.get("SSL_CERT_FILE")
        images = Images(engine, ImageSettings(ca_bundle=Path(ca) if ca else None))
        self._runner = SpaceRunner(ImagePolicy(images), pool, Opener())
        self._entry = SpaceEntry(id=f"{SPACE}-test", repository=str(SPACES / SPACE))
        self._engine, self._pool, self._owner = engine, pool, owner

    async def cut_off(self, endpoint: str, until: str) -> bool:
        """Cut a call off when it has come so far; whether a container had to be started for it."""
        hearing = Hearing()
        context = self._context(endpoint, 60.0, hearing)
        async with under_way(self._runner.run(self._entry, context), hearing, until):
            return context.seconds["start"] > 0

    async def timed_out(self, endpoint: str, seconds: float) -> bool:
        """Let a call take longer than it may; whether a container had to be started for it."""
        context = self._context(endpoint, seconds, lambda message, partial: None)
        with pytest.raises(StepError) as caught:
            await self._runner.run(self._entry, context)
        assert caught.value.kind is ErrorKind.TIMEOUT
        return context.seconds["start"] > 0

    async def containers(self) -> list[str]:
        """The ids of its containers, once those that are being removed are gone."""
        await self._pool.settled()
        filters = json.dumps({"label": [f"{OWNER_LABEL}={self._owner}"]})
        async with self._engine.call(Stage.START) as docker:
            return [found.id for found in await docker.containers.list(all=True, filters=filters)]

    def _context(self, endpoint: str, seconds: float, hear: Callable[[str, str | None], None]) -> StepContext:
        job = TakenJob("j1", JobRequest(prompt="word", endpoint=endpoint, timeout=seconds))
        return StepContext(job, lambda stage, name, message, partial: hear(message, partial), SPACE)


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    owner = own_instance()
    async with Engine() as engine, Pool[Adapter](engine, ContainerSettings(instance_id=owner)) as pool:
        yield Runner(engine, pool, owner)


async def test_a_container_is_kept_as_long_as_its_app_stops_with_its_calls(runner: Runner) -> None:
    assert await runner.timed_out("/stream", seconds=2.0)
    [first] = await runner.containers()
    assert not await runner.cut_off("/stream", until="answering")
    assert await runner.containers() == [first]
    assert not await runner.timed_out("/work", seconds=2.0)
    assert await runner.containers() == []
    assert await runner.cut_off("/work", until="running")
    assert await runner.containers() == []
