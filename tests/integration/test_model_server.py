"""The daemon's model server: the real llama.cpp with the real SmolLM2, behind the front's socket.

The model file (98 MB) is fetched once per user, into the cache that the daemon uses too.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from spacedock.request import Tier
from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.models.client import ModelAnswer, Models
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.listing import Probe, probe
from spacedockd.model.fetch import fetch_command
from spacedockd.model.gateway import ModelGateway
from spacedockd.model.gguf import STAND_IN_FILE, cache_folder, model_of
from spacedockd.model.job import ServerJob, SmolLMSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

LABEL = "SmolLM2-135M-Instruct (stand-in for SmolLM3)"
DEADLINE = 120.0
SETTINGS = SmolLMSettings(hub=False, context=1024)
SERVER = (sys.executable, "-m", "spacedockd.model.server")


@pytest.fixture(scope="module")
def folder() -> Path:
    folder = cache_folder(os.environ)
    assert fetch_command("stand-in", folder) == 0
    return folder


@asynccontextmanager
async def front_of(
    socket: Path, settings: SmolLMSettings, folder: Path, clock: Callable[[], float] | None = None
) -> AsyncIterator[ModelGateway]:
    gateway = ModelGateway(socket, settings, [folder], *([clock] if clock else []))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop(drain=0.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> AsyncIterator[ModelGateway]:
    async with front_of(tmp_path_factory.mktemp("model") / "m.sock", SETTINGS, folder) as gateway:
        yield gateway


async def ask(gateway: ModelGateway, prompt: str = "Hi", **more: Any) -> ModelAnswer:
    fields = {"name": "smollm", "base_url": "http://smollm/v1", "socket": gateway.socket, "max_tokens": 8}
    endpoint = ModelEndpoint.model_validate(fields | {"tier": Tier.DEFAULT, "load_timeout": DEADLINE} | more)
    async with Models() as models:
        return await models.answer(endpoint, prompt)


async def failure(gateway: ModelGateway, **more: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        await ask(gateway, **more)
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody signals: the end of a process that is not this one's child."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether the process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def streaming(gateway: ModelGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the model is in the middle of a long answer."""
    body = json.dumps(
        {"messages": [{"role": "user", "content": "Tell a long story."}], "stream": True, "max_tokens": 60}
    )
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    reader, writer = await asyncio.open_unix_connection(gateway.socket)
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    async with asyncio.timeout(DEADLINE):
        await reader.readuntil(b'"content":"')
    return reader, writer


@asynccontextmanager
async def server(job: ServerJob, *command: str) -> AsyncIterator[Process]:
    """The server's process with the job told, as the daemon starts it."""
    process = await asyncio.create_subprocess_exec(*(command or SERVER), stdin=PIPE, stdout=PIPE)
    assert process.stdin
    process.stdin.write(job.model_dump_json().encode() + b"\n")
    try:
        async with asyncio.timeout(DEADLINE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process.stdin.close()


async def events(process: Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout
    async for line in process.stdout:
        yield json.loads(line)


async def test_the_first_prompts_start_one_model(gateway: ModelGateway) -> None:
    assert gateway.pid is None
    answers = await asyncio.gather(*(ask(gateway, f"Say {n}.") for n in range(3)))
    assert [answer.model for answer in answers] == [LABEL] * 3
    assert all(answer.text for answer in answers)
    assert gateway.model == LABEL


async def test_only_this_user_may_connect(gateway: ModelGateway) -> None:
    assert stat.S_IMODE(gateway.socket.stat().st_mode) == 0o600


async def test_a_killed_model_is_started_again(gateway: ModelGateway) -> None:
    await ask(gateway)
    first = gateway.pid
    assert first
    os.kill(first, signal.SIGKILL)
    assert (await ask(gateway)).text
    assert gateway.pid not in (None, first)


async def test_a_model_that_dies_in_an_answer_hangs_up(gateway: ModelGateway) -> None:
    await ask(gateway)
    reader, writer = await streaming(gateway)
    assert gateway.pid
    os.kill(gateway.pid, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE):
        assert b"[DONE]" not in await reader.read()
    writer.close()
    await writer.wait_closed()
    await until(lambda: gateway.connections == 0)


async def test_a_prompt_over_the_context_is_an_app_error(gateway: ModelGateway) -> None:
    with pytest.raises(StepError) as caught:
        await ask(gateway, "word " * 2000)
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.APP_ERROR)
    assert "context" in str(caught.value)


async def test_an_idle_model_is_stopped_and_started_again(tmp_path: Path, folder: Path) -> None:
    settings = SETTINGS.model_copy(update={"idle_seconds": 0.2})
    async with front_of(tmp_path / "m.sock", settings, folder) as gateway:
        await ask(gateway)
        first = gateway.pid
        assert first
        await until(lambda: not runs(first))
        assert gateway.pid is None
        assert (await ask(gateway)).model == LABEL


async def test_a_connection_in_use_is_not_idle(tmp_path: Path, folder: Path) -> None:
    settings = SETTINGS.model_copy(update={"idle_seconds": 0.05})
    async with front_of(tmp_path / "m.sock", settings, folder) as gateway:
        reader, writer = await streaming(gateway)
        async with asyncio.timeout(DEADLINE):
            await reader.readuntil(b"[DONE]")
        writer.close()
        await writer.wait_closed()


async def test_stopping_lets_an_answer_end(tmp_path: Path, folder: Path) -> None:
    async with front_of(tmp_path / "m.sock", SETTINGS, folder) as gateway:
        reader, writer = await streaming(gateway)
        pid = gateway.pid
        assert pid

        async def hears_the_end() -> None:
            await reader.readuntil(b"[DONE]")
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(gateway.stop(drain=DEADLINE), hears_the_end())
        assert not runs(pid)
        assert not gateway.socket.exists()


async def test_stopping_cuts_off_what_takes_too_long(tmp_path: Path, folder: Path) -> None:
    async with front_of(tmp_path / "m.sock", SETTINGS, folder) as gateway:
        reader, writer = await streaming(gateway)
        pid = gateway.pid
        await gateway.stop(drain=0.0)
        assert pid
        assert not runs(pid)
        assert b"[DONE]" not in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_stopping_is_safe_at_any_time(tmp_path: Path, folder: Path) -> None:
    gateway = ModelGateway(tmp_path / "m.sock", SETTINGS, [folder])
    await gateway.stop()
    await gateway.start()
    await gateway.start()
    await gateway.stop()
    await gateway.stop()
    assert os.listdir(tmp_path) == []


async def test_a_file_that_is_no_model_is_told(tmp_path: Path, folder: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"hello")
    async with front_of(tmp_path / "m.sock", SmolLMSettings(path=wrong), folder) as gateway:
        error = await failure(gateway)
        assert (error.stage, error.kind) == (Stage.READY, ErrorKind.MODEL_UNAVAILABLE)
        assert f"{wrong} is not a GGUF file" in str(error)


async def test_a_model_that_fails_is_tried_again_only_after_a_pause(tmp_path: Path, folder: Path) -> None:
    now = 0.0
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF, but cut off")
    settings = SETTINGS.model_copy(update={"path": model})
    async with front_of(tmp_path / "m.sock", settings, folder, lambda: now) as gateway:
        assert "the daemon's log says why" in str(await failure(gateway))
        model.unlink()
        model.symlink_to(folder / "SmolLM2-135M-Instruct.Q4_1.gguf")
        assert "the daemon's log says why" in str(await failure(gateway))
        now += 1.0
        assert (await ask(gateway)).model == "model"


async def test_a_model_that_loads_for_long_answers_503_meanwhile(tmp_path: Path, folder: Path) -> None:
    endless = tmp_path / "model.gguf"
    os.mkfifo(endless)
    settings = SETTINGS.model_copy(update={"path": endless, "load_seconds": 0.2})
    async with front_of(tmp_path / "m.sock", settings, folder) as gateway:
        error = await failure(gateway, load_timeout=1.0)
        assert (error.stage, error.kind) == (Stage.READY, ErrorKind.TIMEOUT)
        assert "still being fetched or loaded" in str(error)


async def test_the_server_ends_with_its_daemon(tmp_path: Path, folder: Path) -> None:
    job = ServerJob(smollm=SETTINGS, folders=(folder,), socket=tmp_path / "l.sock")
    async with server(job) as process:
        seen = []
        async for event in events(process):
            seen.append((event["event"], event["model"]))
            if event["event"] == "ready":
                assert process.stdin
                process.stdin.close()
        assert seen == [("fetching", None), ("loading", LABEL), ("ready", LABEL)]
        assert await process.wait() == 0


async def test_a_server_without_llama_cpp_says_what_to_install(tmp_path: Path, folder: Path) -> None:
    without = "import sys; sys.modules['xllamacpp'] = None; import spacedockd.model.server as s; s.main()"
    job = ServerJob(smollm=SETTINGS, folders=(folder,), socket=tmp_path / "l.sock")
    async with server(job, sys.executable, "-c", without) as process:
        (event,) = [event async for event in events(process)]
    assert (event["event"], event["final"]) == ("failed", True)
    assert "pip install 'hf-spacedock[smollm]'" in event["message"]


async def test_how_it_stands_is_told_without_waking_it(tmp_path: Path, folder: Path) -> None:
    async with front_of(tmp_path / "m.sock", SETTINGS, folder) as gateway:
        fields = {"socket": gateway.socket, "state_socket": gateway.state_socket, "tier": Tier.DEFAULT}
        endpoint = ModelEndpoint(name="smollm", base_url="http://smollm/v1", **fields)
        assert await probe(endpoint, 5.0) == Probe("resting", (LABEL,))
        assert gateway.pid is None
        await ask(gateway)
        digest = await asyncio.to_thread(model_of(folder / STAND_IN_FILE).digest)
        assert await probe(endpoint, 5.0) == Probe("ready", (LABEL,), digest=digest)
    assert not gateway.state_socket.exists()
    assert (await probe(endpoint, 5.0)).state == "absent"


async def test_a_model_that_is_not_there_is_told_with_its_reason(tmp_path: Path) -> None:
    nowhere, empty = SETTINGS.model_copy(update={"path": tmp_path / "none.gguf"}), tmp_path / "empty"
    for name, settings, state, words in (
        ("a", SETTINGS, "resting", "its first use fetches one"),
        ("b", nowhere, "absent", "none.gguf"),
    ):
        async with front_of(tmp_path / name, settings, empty) as gateway:
            fields = {"socket": gateway.socket, "state_socket": gateway.state_socket}
            endpoint = ModelEndpoint(name="smollm", base_url="http://smollm/v1", **fields)
            found = await probe(endpoint, 5.0)
            assert (found.state, words in found.why) == (state, True), found
