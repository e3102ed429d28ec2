"""Cutting a call off: the app is told to stop where it can be, and it is known where it may go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.gradio_calls import SAY, GivesUp, connected
from tests.unit.gradio_script import DONE, PROTOCOLS, STARTS, Reply, Script, config, speaking

from spacedock_worker.adapters import http
from spacedock_worker.adapters.gradio import transport
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.errors import StepError

QUEUED = {"msg": "estimation", "rank": 3}
GROWS = {"msg": "process_generating", "output": {"data": ["wel"]}}
CLOSING = ("ws", "sse")
CANCELLING = tuple(p for p in PROTOCOLS if p not in CLOSING)


class Until:
    """A listener that knows when a certain message has been heard."""

    def __init__(self, message: str) -> None:
        self.message, self.heard = message, asyncio.Event()

    def __call__(self, message: str, partial: str | None = None) -> None:
        if message == self.message:
            self.heard.set()


@asynccontextmanager
async def cut_off(
    script: Script, message: str, memory: LearnedEndpoints | None = None
) -> AsyncIterator[GradioAdapter]:
    """The adapter after its call has been cancelled, when it had heard `message`."""
    until = Until(message)
    async with asyncio.timeout(60), connected(script, memory=memory) as adapter:
        task = asyncio.create_task(adapter.call(SAY, until))
        await until.heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        yield adapter


@pytest.mark.parametrize("protocol", CANCELLING)
async def test_a_stream_that_is_cut_off_is_cancelled_in_the_app(protocol: str) -> None:
    script = speaking(protocol, STARTS, GROWS, ending="silence")
    async with cut_off(script, "answering") as adapter:
        [body] = script.posted("/cancel")
        session = script.posted("/queue/join")[0]["session_hash"]
        assert body == {"event_id": "e", "fn_index": 0, "session_hash": session}
        assert not adapter.abandoned
        await script.left.wait()


@pytest.mark.parametrize("protocol", CANCELLING)
async def test_a_function_that_never_streamed_may_go_on_after_the_cancel(protocol: str) -> None:
    script = speaking(protocol, STARTS, ending="silence")
    async with cut_off(script, "running") as adapter:
        assert script.count("/cancel") == 1
        assert adapter.abandoned


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_call_that_still_waits_leaves_nothing_behind(protocol: str) -> None:
    script = speaking(protocol, QUEUED, ending="silence")
    async with cut_off(script, "queue position 4") as adapter:
        assert not adapter.abandoned
        await script.left.wait()
        assert script.count("/cancel") == (0 if protocol in CLOSING else 1)


@pytest.mark.parametrize("protocol", CLOSING)
@pytest.mark.parametrize(
    ("last", "message", "left"), [(STARTS, "running", True), (GROWS, "answering", False)]
)
async def test_without_a_way_to_cancel_only_an_answer_that_grows_ends_with_its_hearer(
    protocol: str, last: dict[str, Any], message: str, left: bool
) -> None:
    script = speaking(protocol, STARTS, last, ending="silence")
    async with cut_off(script, message) as adapter:
        assert adapter.abandoned is left
        await script.left.wait()


@pytest.mark.parametrize("reply", [Reply(status=404), Reply(status=500), Reply(b"<html>")])
async def test_an_app_that_refuses_to_cancel_may_go_on(reply: Reply) -> None:
    script = Script(ending="silence", routes={"/cancel": reply}).says(STARTS, GROWS)
    async with cut_off(script, "answering") as adapter:
        assert adapter.abandoned


async def test_an_app_that_does_not_answer_the_cancel_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "CANCEL_SECONDS", 0.1)
    script = Script(ending="silence", holds={"/cancel": asyncio.Event()}).says(STARTS, GROWS)
    async with asyncio.timeout(60), cut_off(script, "answering") as adapter:
        assert adapter.abandoned


async def test_a_second_cancellation_does_not_wait_for_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CANCEL_SECONDS", 60.0)
    script = Script(ending="silence", holds={"/cancel": asyncio.Event()}).says(STARTS, GROWS)
    until = Until("answering")
    async with asyncio.timeout(60), connected(script) as adapter:
        task = asyncio.create_task(adapter.call(SAY, until))
        await until.heard.wait()
        task.cancel()
        await script.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert adapter.abandoned


async def test_a_deadline_is_a_cancellation() -> None:
    script = Script(ending="silence").says(STARTS, GROWS)
    async with connected(script) as adapter:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60) as deadline:
                await adapter.call(SAY, GivesUp(deadline))
        assert script.count("/cancel") == 1
        assert not adapter.abandoned


@pytest.mark.parametrize(("path", "direct"), [("/run/predict", True), ("/queue/join", False)])
async def test_a_call_that_the_app_may_have_taken_may_go_on(path: str, direct: bool) -> None:
    script = Script(holds={path: asyncio.Event()})
    async with connected(script, memory=LearnedEndpoints(direct={"/say": direct})) as adapter:
        task = asyncio.create_task(adapter.call(SAY, Until("")))
        await script.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert adapter.abandoned


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_call_that_ended_leaves_nothing_behind(protocol: str) -> None:
    async with connected(speaking(protocol, STARTS, GROWS, DONE)) as adapter:
        await adapter.call(SAY, Until(""))
        assert not adapter.abandoned


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_answer_that_is_refused_midway_may_go_on(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CLOSE_SECONDS", 0.1)
    script = speaking(protocol, STARTS, ending="growth")
    async with asyncio.timeout(60), connected(script, answer=1000) as adapter:
        with pytest.raises(StepError):
            await adapter.call(SAY, Until(""))
        assert adapter.abandoned


async def test_a_cancelled_call_leaves_the_adapter_usable() -> None:
    script = Script(config=config(), ending="silence").says(STARTS, GROWS)
    async with cut_off(script, "answering") as adapter:
        script.says(DONE).ending = "end"
        assert (await adapter.call(SAY, Until(""))).text == "well"
