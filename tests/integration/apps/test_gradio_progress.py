"""What a caller hears while a real app is at work: its place in the queue, its progress, its growing text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from itertools import pairwise

import pytest
from tests.apps import Apps

from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.adapters.detect import Access, Opener

UrlOf = Callable[[str, str], str]

SPACES = {
    "3.50.2": ("g-progress", "g-generator", "g-queue-full"),
    "4.8.0": ("g-progress", "g-generator"),
    "5.50.0": ("g-progress", "components"),
    "6.31.0": ("g-progress", "components", "g-queue-full"),
}

HEAR_SECONDS = 60.0
# One letter takes 20 ms.
LETTERS, MANY_LETTERS = "a few letters", "a " * 100
WORDS = " ".join(f"word{number}" for number in range(12))


class Hearing:
    """Keeps what a call tells."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.partials: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, message: str, partial: str | None = None) -> None:
        self.messages.append(message)
        if partial is not None:
            self.partials.append(partial)
        self._changed.set()

    async def until(self, pattern: str) -> None:
        """Return once it has heard something that matches."""
        async with asyncio.timeout(HEAR_SECONDS):
            while not self.heard(pattern):
                self._changed.clear()
                await self._changed.wait()

    def heard(self, pattern: str) -> bool:
        return any(re.fullmatch(pattern, message) for message in self.messages)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Adapter]:
    app = await Opener().connect_to("sha256:test", Access())(url)
    assert app is not None
    try:
        yield app
    finally:
        await app.aclose()


@pytest.fixture(scope="module")
def url_of(apps: Apps) -> UrlOf:
    """`url_of("components", "5.50.0")` is where that Space answers: those of one Gradio share a container."""

    @cache
    def urls(version: str) -> dict[str, str]:
        return apps.together(SPACES[version], version)

    return lambda name, version: urls(version)[name]


@pytest.fixture(params=list(SPACES))
def book(request: pytest.FixtureRequest, url_of: UrlOf) -> str:
    """A Space that reads letter by letter, one text at a time."""
    return url_of("g-progress", request.param)


async def test_the_apps_own_progress_is_heard(book: str) -> None:
    hearing = Hearing()
    async with connected(book) as app:
        answer = await app.call(AppCall(LETTERS * 4), hearing)
    assert answer.text == "16 vowels"
    assert hearing.heard(r"Reading \d+/52")


async def test_calls_that_wait_hear_their_place_in_the_queue(book: str) -> None:
    first, second, third = Hearing(), Hearing(), Hearing()
    async with connected(book) as app, asyncio.TaskGroup() as calls:
        answers = [calls.create_task(app.call(AppCall(MANY_LETTERS), first))]
        await first.until(r"Reading \d+/200")
        for hearing, place in ((second, 1), (third, 2)):
            answers.append(calls.create_task(app.call(AppCall(LETTERS), hearing)))
            await hearing.until(f"queue position {place}")
        assert not second.heard("running")
        await third.until("queue position 1")
    assert [answer.result().text for answer in answers] == ["100 vowels", "4 vowels", "4 vowels"]


@pytest.mark.parametrize("version", ["5.50.0", "6.31.0"])
async def test_an_answer_is_heard_as_it_grows_by_edits(version: str, url_of: UrlOf) -> None:
    await assert_it_grows(url_of("components", version), "/count")


@pytest.mark.parametrize("version", ["3.50.2", "4.8.0"])
async def test_an_answer_is_heard_as_it_grows_as_a_whole(version: str, url_of: UrlOf) -> None:
    await assert_it_grows(url_of("g-generator", version), None)


async def assert_it_grows(url: str, endpoint: str | None) -> None:
    hearing = Hearing()
    async with connected(url) as app:
        answer = await app.call(AppCall(WORDS, endpoint=endpoint), hearing)
    assert answer.text == WORDS
    assert len(hearing.partials) > 2
    assert all(WORDS.startswith(partial) for partial in hearing.partials)
    assert all(len(sooner) < len(later) for sooner, later in pairwise(hearing.partials))


@pytest.mark.parametrize("version", ["3.50.2", "6.31.0"])
async def test_a_full_queue_is_tried_again(version: str, url_of: UrlOf) -> None:
    hearings = [Hearing() for _ in range(3)]
    async with connected(url_of("g-queue-full", version)) as app, asyncio.TaskGroup() as calls:
        answers = [calls.create_task(app.call(AppCall("yes"), hearing)) for hearing in hearings]
    assert [answer.result().text for answer in answers] == ["After some thought: yes"] * 3
    assert any(hearing.heard("the app's queue is full") for hearing in hearings)
