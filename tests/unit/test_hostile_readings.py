"""Answers made to keep whoever reads them busy: the event loop stays free, and the call ends in order."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import process_time

import pytest

from spacedock.result import ErrorKind
from spacedock_worker.adapters import offload
from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.handler import output_of

APP = Path(__file__).parent.parent / "spaces" / "hostile-gradio" / "app.py"
HELD = 0.5
"""Seconds for which the loop may be held. The rule is 0.1 s, on a machine that does nothing else."""


@contextmanager
def served(**env: str) -> Iterator[str]:
    """The app in a process of its own: its work must not be taken for ours."""
    command = [sys.executable, str(APP), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as app:
        assert app.stdout is not None
        try:
            yield f"http://127.0.0.1:{app.stdout.readline().strip()}"
        finally:
            app.kill()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Adapter]:
    adapter = await Opener().connect_to("sha256:1", Access("gradio"))(url)
    assert adapter is not None
    try:
        yield adapter
    finally:
        await adapter.aclose()


@asynccontextmanager
async def watched() -> AsyncIterator[list[float]]:
    """Seconds of our own work for which the loop was held, each time: the machine has others' to do, too."""
    held: list[float] = []

    async def watch() -> None:
        while True:
            before = process_time()
            await asyncio.sleep(0.01)
            held.append(process_time() - before)

    # What the tests before left is not ours to collect: a thousand tests' worth takes a second.
    gc.freeze()
    watching = asyncio.create_task(watch())
    try:
        yield held
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.fixture(autouse=True)
def processor_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound the processor time of a reading as ever, and not how long a busy machine takes over it."""
    monkeypatch.setattr(offload, "SECONDS", 10 * offload.SECONDS)


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    with served() as url:
        yield url


def unheard(message: str, partial: str | None = None) -> None:
    pass


@pytest.mark.parametrize(
    ("endpoint", "attack", "text"),
    [
        ("/html", "tags", ""),
        ("/html", "declarations", ""),
        ("/html", "comments", ""),
        ("/html", "quotes", ""),
        ("/html", "entities", None),
        ("/html", "bold", None),
        ("/json", "keys", None),
        ("/text", "halves", None),
        ("/text", "escapes", None),
        ("/text", "edits", "well"),
        ("/text", "small edits", "well"),
        ("/text", "events", "well"),
        ("/text", "harmless", "well"),
    ],
)
async def test_an_answer_that_is_slow_to_read_holds_nobody_up(
    hostile: str, endpoint: str, attack: str, text: str | None
) -> None:
    async with connected(hostile) as adapter, watched() as held:
        answer = await adapter.call(AppCall(attack, endpoint=endpoint), unheard)
        output_of(answer)
    assert text is None or answer.text == text
    assert max(held) < HELD


@pytest.mark.parametrize("attack", ["lists", "deep", "lines", "packed", "long numbers"])
async def test_an_answer_that_nobody_can_handle_is_refused(hostile: str, attack: str) -> None:
    async with connected(hostile) as adapter, watched() as held:
        with pytest.raises(StepError) as caught:
            await adapter.call(AppCall(attack, endpoint="/json"), unheard)
    assert caught.value.kind in (ErrorKind.BAD_OUTPUT, ErrorKind.CRASHED)
    assert max(held) < HELD


async def test_a_page_of_half_a_million_inputs_holds_nobody_up() -> None:
    with served(FUNCTIONS="1000") as url:
        async with watched() as held, connected(url) as adapter:
            answer = await adapter.call(AppCall("harmless", endpoint="/text"), unheard)
            with pytest.raises(StepError):
                await adapter.call(AppCall("harmless", inputs={"input 12": "x"}), unheard)
    assert answer.text == "well"
    assert max(held) < HELD


async def test_half_surrogates_become_question_marks(hostile: str) -> None:
    async with connected(hostile) as adapter:
        answer = await adapter.call(AppCall("halves", endpoint="/text"), unheard)
    assert answer.text is not None
    assert set(answer.text) == {"?"}
