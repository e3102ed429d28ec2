"""Each mode of the made-up model server in tests/cases/models, asked as Tier 1 is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from spacedock_worker.errors import StepError
from spacedock_worker.models.client import Models
from spacedock_worker.models.endpoint import ModelEndpoint

SERVER = Path(__file__).parents[1] / "cases" / "models" / "model_server.py"


@asynccontextmanager
async def playing(mode: str) -> AsyncIterator[ModelEndpoint]:
    port = unused_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable, SERVER, str(port), mode, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield ModelEndpoint(name="made-up", base_url=f"http://127.0.0.1:{port}/v1", connect_timeout=30)
    finally:
        server.kill()
        await server.wait()


@pytest.mark.parametrize(
    ("mode", "model"),
    [
        *[(mode, "m") for mode in ("parts", "harmony", "magistral", "thinking", "seed", "think", "noopen")],
        *[(mode, "llama3.2:3b") for mode in ("embed", "minilm", "cloud")],
    ],
)
async def test_a_local_chat_model_answers_without_thoughts(mode: str, model: str) -> None:
    async with playing(mode) as endpoint, Models() as models:
        answer = await models.answer(endpoint, "What colour is the sky?")
    assert answer.text in ("Blue.", f"Blue (from {model}).")
    assert (answer.model, answer.truncated) == (model, False)


async def test_a_cut_answer_says_so() -> None:
    async with playing("cut") as endpoint, Models() as models:
        answer = await models.answer(endpoint, "What colour is the sky?")
    assert (answer.text, answer.truncated) == ("The sky is a deep and very", True)


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("reasononly", "only thought, and gave no answer"),
        ("reasonollama", "thought until the server's limit"),
        ("nullcontent", "gave an empty answer"),
        ("toolcall", "asked for a tool"),
        ("strerror", "the prompt is longer than the context of 2048 tokens"),
        ("detail", "answered 422: the prompt is longer than the context"),
        ("oom", "model requires more system memory (9.1 GiB) than is available (2.0 GiB)"),
        ("html", "HTTP 502"),
        ("sse", "does not speak OpenAI's protocol"),
        ("err200", "Unexpected endpoint or method"),
        ("nulldata", "has no model yet"),
    ],
)
async def test_a_refusal_is_told_in_the_servers_own_words(mode: str, why: str) -> None:
    async with playing(mode) as endpoint, Models() as models:
        with pytest.raises(StepError) as caught:
            await models.answer(endpoint, "What colour is the sky?")
    assert why in str(caught.value)
