"""What 1,000 calls to one warm app leave behind, here and in its container: nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from spacedock.files import payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError

RunningApp = Callable[[str, str], Awaitable[str]]
Work = Callable[[Adapter], Awaitable[None]]
Round = tuple[tuple[Work, ...], tuple[Work, ...]]

# Of 125 calls each, by so many callers.
ROUNDS, ROUNDS_TO_SETTLE, CALLERS = 8, 2, 8
# Of what lives here, and of this process's memory, after the first calls: less than one call could leave.
MORE_OBJECTS, MORE_BYTES = 400, 4 * 2**20
SETTLE_SECONDS = 10.0


async def greets(app: Adapter) -> None:
    answer = await app.call(AppCall("Ada", endpoint="/greet"), unheard)
    assert answer.text == "Hello, Ada!"


async def streams(app: Adapter) -> None:
    assert (await app.call(AppCall("one", endpoint="/count"), unheard)).text == "one"


async def numbers_a_file(app: Adapter) -> None:
    call = AppCall("", (payload_of("list.txt", b"a\nb\n"),), endpoint="/number_lines")
    [file] = (await app.call(call, unheard)).files
    assert file.data == b"1: a\n2: b\n"


async def fails(app: Adapter) -> None:
    with pytest.raises(StepError) as caught:
        await app.call(AppCall("no", endpoint="/fail"), unheard)
    assert caught.value.kind is ErrorKind.APP_ERROR


async def is_cancelled_while_it_streams(app: Adapter) -> None:
    await cut_off(app, AppCall("word " * 100, endpoint="/count"), "answering")


async def spells(app: Adapter) -> None:
    assert (await app.call(AppCall("dock"), unheard)).text == "d-o-c-k"


async def is_cancelled_in_the_queue(app: Adapter) -> None:
    await cut_off(app, AppCall("dock"), "queue position")


async def cut_off(app: Adapter, call: AppCall, when: str) -> None:
    """Cancel a call as soon as it has told so much."""
    heard = asyncio.Event()

    def hear(message: str, partial: str | None = None) -> None:
        if message.startswith(when):
            heard.set()

    task = asyncio.create_task(app.call(call, hear))
    task.add_done_callback(lambda _: heard.set())
    await heard.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# What all callers work off together: first what may go past the app's queue, then what goes by it.
COMPONENTS: Round = (
    (greets,) * 105,
    (*(greets, numbers_a_file) * 5, *(streams,) * 5, *(fails,) * 3, *(is_cancelled_while_it_streams,) * 2),
)
MOUNTED: Round = ((spells,) * 105, (*(spells,) * 16, *(is_cancelled_in_the_queue,) * 4))


@pytest.mark.parametrize(
    ("space", "version", "blocks"), [("components", "6.31.0", COMPONENTS), ("g-mounted", "3.50.2", MOUNTED)]
)
async def test_a_thousand_calls_leave_nothing_behind(
    space: str,
    version: str,
    blocks: Round,
    running_app: RunningApp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = await running_app(space, version)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tasks, files = asyncio.all_tasks(), open_files()
    inside = await open_files_inside(url)
    quick, queued = await connected(url, direct=True), await connected(url, direct=False)
    for _ in range(ROUNDS_TO_SETTLE):
        await called(quick, blocks[0])
        await called(queued, blocks[1])
    objects, memory = alive(), resident()
    for _ in range(ROUNDS - ROUNDS_TO_SETTLE):
        await called(quick, blocks[0])
        await called(queued, blocks[1])
    assert alive() - objects < MORE_OBJECTS
    assert resident() - memory < MORE_BYTES
    await quick.aclose()
    await queued.aclose()
    assert asyncio.all_tasks() == tasks
    assert os.listdir(tmp_path) == []
    async with asyncio.timeout(SETTLE_SECONDS):
        # The event loop closes its own sockets a moment later, too.
        while await open_files_inside(url) > inside or open_files() - files:
            pass


async def connected(url: str, *, direct: bool) -> Adapter:
    app = await Opener().connect_to("sha256:test", Access(direct=direct))(url)
    assert app is not None
    return app


async def called(app: Adapter, works: Sequence[Work]) -> None:
    """Work all that off, by all callers together."""
    left = iter(works)
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(taken(app, left))


async def taken(app: Adapter, works: Iterator[Work]) -> None:
    """One caller: take from what is left, one after the other."""
    for work in works:
        await work(app)


def open_files() -> set[str]:
    """What this process has open; a socket or a pipe has a number of its own."""
    return {os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}


async def open_files_inside(url: str) -> int:
    """How many files all processes in the app's container have open."""
    async with Engine() as engine, engine.call(Stage.CALL) as docker:
        labelled = await docker.containers.list(filters=json.dumps({"label": [OWNER_LABEL]}))
        [container] = [c for c in labelled if urlsplit(url).hostname in addresses(c["NetworkSettings"])]
        listing = await container.exec(["sh", "-c", "ls /proc/[0-9]*/fd | wc -l"])
        async with listing.start(detach=False) as output:
            message = await output.read_out()
    assert message is not None
    return int(message.data)


def addresses(settings: dict[str, Any]) -> list[str]:
    return [network["IPAddress"] for network in settings["Networks"].values()]


def alive() -> int:
    """How many objects live in this process."""
    gc.collect()
    return len(gc.get_objects())


def resident() -> int:
    """The bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def unheard(message: str, partial: str | None = None) -> None:
    """Nobody watches."""
