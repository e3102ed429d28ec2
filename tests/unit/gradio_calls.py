"""Calling the scripted Gradio server through the adapter: answers, failures, and what is heard on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.unit.gradio_script import Script
from tests.unit.gradio_server import serving

from spacedock.files import payload_of
from spacedock_worker.adapters.base import AnswerLimits, AppAnswer, AppCall
from spacedock_worker.adapters.gradio.adapter import GradioAdapter
from spacedock_worker.adapters.gradio.connection import Login, connect
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.adapters.http import AppHttp
from spacedock_worker.errors import StepError

SAY = AppCall("hi", endpoint="/say")
SEE = AppCall("", (payload_of("a.png", b"PNG"),), endpoint="/see")


@dataclass
class Heard:
    """A listener that keeps what it is told."""

    messages: list[str] = field(default_factory=list)
    partials: list[str] = field(default_factory=list)

    def __call__(self, message: str, partial: str | None = None) -> None:
        self.messages.append(message)
        if partial is not None:
            self.partials.append(partial)


class GivesUp:
    """A listener whose deadline is over at the first thing that it hears, however slow the machine is."""

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline, self._over = deadline, False

    def __call__(self, message: str, partial: str | None = None) -> None:
        if not self._over:
            self._over = True
            self._deadline.reschedule(asyncio.get_running_loop().time())


@asynccontextmanager
async def connected(
    script: Script, *, memory: LearnedEndpoints | None = None, login: Login | None = None, **limits: int
) -> AsyncIterator[GradioAdapter]:
    """The adapter for a server that follows the script."""
    async with serving(script) as url:
        http = AppHttp(url)
        try:
            adapter = await connect(http, memory or LearnedEndpoints(), AnswerLimits(**limits), login)
            assert adapter is not None
            yield adapter
        finally:
            await http.aclose()


async def ask(script: Script, call: AppCall = SAY, **more: Any) -> AppAnswer:
    """The answer of one call to the script's app."""
    async with connected(script, **more) as adapter:
        return await adapter.call(call, Heard())


async def failure(script: Script, call: AppCall = SAY, **more: Any) -> StepError:
    """The error of one call to the script's app."""
    with pytest.raises(StepError) as caught:
        await ask(script, call, **more)
    return caught.value
