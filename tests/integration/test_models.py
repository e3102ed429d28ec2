"""The models' client against the real llama.cpp server, on a unix socket and on a port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from spacedock.files import payload_of
from spacedock.request import Tier
from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.models.client import Models
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.local import LocalAddress, LocalModels
from spacedockd.model.fetch import fetch_command
from spacedockd.model.gateway import ModelGateway
from spacedockd.model.gguf import cache_folder
from spacedockd.model.job import SmolLMSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

LABEL = "SmolLM2-135M-Instruct (stand-in for SmolLM3)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ModelGateway]:
    folder = cache_folder(os.environ)
    assert await asyncio.to_thread(fetch_command, "stand-in", folder) == 0
    gateway = ModelGateway(
        tmp_path_factory.mktemp("model") / "m.sock", SmolLMSettings(hub=False, context=2048), [folder]
    )
    await gateway.start()
    yield gateway
    await gateway.stop(drain=0.0)


@pytest_asyncio.fixture(loop_scope="module")
async def models() -> AsyncIterator[Models]:
    async with Models() as models:
        yield models


@pytest.fixture
def endpoint(gateway: ModelGateway) -> ModelEndpoint:
    return ModelEndpoint(
        name="smollm", base_url="http://smollm/v1", socket=gateway.socket, tier=Tier.DEFAULT, max_tokens=16
    )


@asynccontextmanager
async def port_to(socket: Path) -> AsyncIterator[int]:
    """The same server on a port of this machine, as Ollama or a llama.cpp of the user's own would be."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(socket)
        for source, target in ((reader, back), (there, writer)):
            pumps.add(asyncio.create_task(pump(source, target)))

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65_536):
            target.write(chunk)
        target.close()

    pumps: set[asyncio.Task[None]] = set()
    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait(pumps)


async def test_a_prompt_is_answered_by_name(models: Models, endpoint: ModelEndpoint) -> None:
    answer = await models.answer(endpoint, "What is the capital of France?", limit=60)
    # What so small a model says is not always right; that it is words of this model is.
    assert (answer.model, answer.text.isprintable()) == (LABEL, True)


async def test_a_prompt_with_a_file_is_answered(models: Models, endpoint: ModelEndpoint) -> None:
    notes = payload_of("notes.txt", b"The capital of France is Paris.")
    assert (await models.answer(endpoint, "What does it say?", (notes,), "Be brief.", limit=60)).text


async def test_answers_together_come_from_one_server(models: Models, endpoint: ModelEndpoint) -> None:
    answers = await asyncio.gather(*(models.answer(endpoint, f"Count to {n}.", limit=60) for n in range(4)))
    assert {answer.model for answer in answers} == {LABEL}


async def test_an_answer_over_its_limit_is_a_timeout(models: Models, endpoint: ModelEndpoint) -> None:
    long = endpoint.model_copy(update={"max_tokens": 1500})
    with pytest.raises(StepError) as caught:
        await models.answer(long, "Tell a very long story.", limit=0.3)
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.TIMEOUT)


async def test_a_real_server_is_found_and_answers(models: Models, gateway: ModelGateway) -> None:
    async with port_to(gateway.socket) as port:
        local = LocalModels((LocalAddress("llama.cpp", f"http://127.0.0.1:{port}/v1"),))
        # The look is shorter than a load, so that a model that is being loaded is found the next time.
        await models.answer(
            ModelEndpoint(name="smollm", base_url="http://smollm/v1", socket=gateway.socket, max_tokens=1),
            "Hi",
        )
        (found,) = await local.endpoints()
        assert (found.name, found.model, found.tier) == ("llama.cpp", LABEL, Tier.FAST)
        async with Models() as over_tcp:
            answer = await over_tcp.answer(
                found.model_copy(update={"max_tokens": 8}), "What is 2 + 2?", limit=60
            )
        assert answer.text
