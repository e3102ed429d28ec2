"""Programs that run once, in real containers: the Spaces of tests/spaces/command-*."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiodocker import Docker
from aiodocker.exceptions import DockerError
from tests.integration.queue.workers import until
from tests.leftovers import own_instance

from spacedock.files import payload_of
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppAnswer, AppCall
from spacedock_worker.adapters.command import answer_of, task_of
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.task import Completed, TaskLimits
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

SPACES = Path(__file__).parent.parent / "spaces"

SpecOf = Callable[[str], Awaitable[ContainerSpec]]


def silent(text: str) -> None:
    pass


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def settings() -> ContainerSettings:
    return ContainerSettings(instance_id=own_instance())


@pytest.fixture
async def pool(engine: Engine, settings: ContainerSettings) -> AsyncIterator[Pool]:
    async with Pool(engine, settings) as pool:
        yield pool
        await pool.settled()
        assert repr(pool).startswith("<Pool 0/3 containers")
    assert await containers(engine, settings) == []


@pytest.fixture
def spec_of(engine: Engine) -> SpecOf:
    """`await spec_of("count")` builds tests/spaces/command-count, once for all tests."""
    images = Images(engine, ImageSettings())

    async def spec(name: str) -> ContainerSpec:
        source = SpaceSource(name=f"command-{name}", repository=SPACES / f"command-{name}")
        image = await images.get(source, silent)
        return ContainerSpec(f"command-{name}", image.reference, image.digest, image.command)

    return spec


@pytest.fixture
def trouble(pool: Pool, spec_of: SpecOf) -> Callable[..., Awaitable[Completed]]:
    """`await trouble("fail")` has the program misbehave in that way."""

    async def run(how: str, limits: TaskLimits | None = None, seconds: float = 60.0) -> Completed:
        task = task_of(AppCall(how), seconds)
        return await pool.complete(await spec_of("trouble"), task, silent, limits)

    return run


async def containers(engine: Engine, settings: ContainerSettings) -> list[str]:
    filters = json.dumps({"label": [f"{OWNER_LABEL}={settings.instance_id}"]})
    async with engine.call(Stage.START) as docker:
        return [c.id for c in await docker.containers.list(all=True, filters=filters)]


async def none_left(engine: Engine, settings: ContainerSettings) -> bool:
    return not await containers(engine, settings)


async def ask(pool: Pool, spec: ContainerSpec, call: AppCall) -> AppAnswer:
    return answer_of(await pool.complete(spec, task_of(call), silent))


async def test_the_prompt_is_on_stdin_and_the_answer_on_stdout(pool, spec_of) -> None:
    answer = await ask(pool, await spec_of("shout"), AppCall("grüße\n"))
    assert answer.text == "GRÜSSE!"
    assert answer.data == {"output": "GRÜSSE!", "exit_code": 0, "stderr": ""}
    assert (answer.files, answer.truncated, answer.endpoint) == ((), False, None)


async def test_files_go_in_and_come_out(pool, spec_of) -> None:
    files = (payload_of("a.txt", b"one two"), payload_of("a.txt", b"three"), payload_of("b.md", b""))
    answer = await ask(pool, await spec_of("count"), AppCall("to be or not to be", files))
    assert answer.text == "6 words"
    assert {f.ref.name: f.data for f in answer.files} == {
        "a.count.txt": b"2\n",
        "a-2.count.txt": b"1\n",
        "b.count.txt": b"0\n",
    }
    assert {f.ref.media_type for f in answer.files} == {"text/plain"}
    assert "counting a-2.txt" in answer.data["stderr"]


async def test_inputs_reach_the_program(pool, spec_of) -> None:
    call = AppCall("to be or not to be", inputs={"unique": True})
    assert (await ask(pool, await spec_of("count"), call)).text == "4 words"


async def test_times_are_told(pool, spec_of) -> None:
    heard: list[str] = []
    completed = await pool.complete(await spec_of("shout"), task_of(AppCall("hi")), heard.append)
    assert heard == ["starting its container", "running"]
    assert completed.start_seconds > 0
    assert completed.seconds > 0


async def test_a_failure_keeps_its_exit_code_and_what_it_said(trouble) -> None:
    completed = await trouble("fail")
    assert (completed.exit_code, completed.stdout.data) == (3, b"half of an answer\n")
    with pytest.raises(StepError, match=r"exit code 3\. It said:\nTraceback: no model here") as caught:
        answer_of(completed)
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.APP_ERROR)


async def test_long_output_is_cut_and_says_so(trouble) -> None:
    completed = await trouble("talk", TaskLimits(text=10_000, stderr=100))
    assert completed.stdout.data == b"yes\n" * 2500
    assert completed.stderr.data == (b"no\n" * 100)[-100:]
    assert completed.stdout.truncated
    assert completed.stderr.truncated
    assert answer_of(completed).truncated


async def test_endless_output_is_stopped(trouble) -> None:
    with pytest.raises(StepError, match="more than 32 MB") as caught:
        await trouble("babble", TaskLimits(written=2**25))
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.BAD_OUTPUT)


async def test_a_huge_file_is_refused_without_reading_it(trouble) -> None:
    with pytest.raises(StepError, match=r"10,240\.0 MB, of at most 64\.0 MB .'huge\.bin'.") as caught:
        await trouble("huge_file")
    assert (caught.value.stage, caught.value.kind) == (Stage.OUTPUT, ErrorKind.BAD_OUTPUT)


async def test_a_huge_text_is_cut(trouble) -> None:
    text = (await trouble("huge_text", TaskLimits(text=1000))).text
    assert text.data == b"begins".ljust(1000, b"\0")
    assert text.truncated


async def test_only_plain_files_come_out(trouble) -> None:
    completed = await trouble("odd_files")
    long = "long" * 60 + ".txt"
    assert dict(completed.files) == {"deep/er/plain.txt": b"plain", long: b"long", "ä\\b.txt": b"odd"}
    assert completed.text is None
    assert {f.ref.name for f in answer_of(completed).files} >= {"deep-er-plain.txt", long}


async def test_a_link_in_place_of_the_output_folder_leads_nowhere(trouble) -> None:
    assert (await trouble("swap_folder")).files == ()


async def test_too_many_files_are_refused(trouble) -> None:
    with pytest.raises(StepError, match="more than 20 files") as caught:
        await trouble("many_files", TaskLimits(count=20))
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


async def test_files_that_are_too_large_together_are_refused(trouble) -> None:
    with pytest.raises(StepError, match=r"holds more than 0\.0 MB") as caught:
        await trouble("many_files", TaskLimits(files=100))
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize("how", ["ignore_stdin", "close_stdin"])
async def test_a_program_need_not_read_its_prompt(trouble, how: str) -> None:
    completed = await trouble(f"{how}\n" + "x" * 10_000_000)
    assert (completed.exit_code, completed.stdout.data) == (0, b"did not listen\n")


async def test_a_long_prompt_arrives_whole(pool, spec_of) -> None:
    call = AppCall("word " * 2_000_000)
    assert (await ask(pool, await spec_of("count"), call)).text == "2000000 words"


async def test_a_child_that_stays_ends_with_its_program(trouble) -> None:
    assert (await trouble("leave_a_child")).stdout.data == b"done, my child is not\n"


async def test_a_program_that_closes_its_streams_is_waited_for(trouble) -> None:
    completed = await trouble("close_stdout")
    assert (completed.stdout.data, completed.text.data) == (b"said early\n", b"written late")


async def test_a_program_that_does_not_end_is_stopped(trouble) -> None:
    with pytest.raises(StepError, match=r"within 0\.5 s and was stopped") as caught:
        await trouble("sleep", seconds=0.5)
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.TIMEOUT)


async def test_memory_beyond_the_limit_is_told_from_a_failure(pool, spec_of) -> None:
    spec = replace(await spec_of("trouble"), memory=64 * 2**20)
    with pytest.raises(StepError, match="64 MB") as caught:
        await pool.complete(spec, task_of(AppCall("eat_memory")), silent)
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.OUT_OF_MEMORY)
    assert "hungry" in str(caught.value)


async def test_a_program_that_is_not_there_is_a_failed_start(pool, settings) -> None:
    missing = ContainerSpec("missing", f"spacedock/missing:{settings.instance_id}", "sha256:none")
    with pytest.raises(StepError) as caught:
        await pool.complete(missing, task_of(AppCall("hi")), silent)
    assert (caught.value.stage, caught.value.kind) == (Stage.START, ErrorKind.START_FAILED)


async def test_without_an_engine_a_task_fails(tmp_path: Path) -> None:
    absent = ContainerSettings(instance_id="test-absent")
    async with Engine(f"unix://{tmp_path}/no.sock") as engine, Pool(engine, absent) as pool:
        with pytest.raises(StepError) as caught:
            await pool.complete(ContainerSpec("one", "none", "none"), task_of(AppCall("hi")), silent)
    assert caught.value.kind is ErrorKind.DOCKER_UNAVAILABLE


@asynccontextmanager
async def sleeping(pool: Pool, spec: ContainerSpec) -> AsyncIterator[asyncio.Task[Completed]]:
    """A task that sleeps, once its program runs."""
    running = asyncio.Event()

    def on_progress(text: str) -> None:
        if text == "running":
            running.set()

    user = asyncio.create_task(pool.complete(spec, task_of(AppCall("sleep")), on_progress))
    starting = asyncio.create_task(running.wait())
    await asyncio.wait({user, starting}, return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    yield user
    user.cancel()
    await asyncio.gather(user, return_exceptions=True)


async def test_a_cancelled_task_leaves_no_container_and_no_volume(engine, settings, pool, spec_of) -> None:
    async with sleeping(pool, await spec_of("trouble")), engine.call(Stage.START) as docker:
        [name] = await containers(engine, settings)
        found = await docker.containers.container(name).show()
    await pool.settled()
    assert await containers(engine, settings) == []
    [volume] = [mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"]
    async with engine.call(Stage.START) as docker:
        with pytest.raises(DockerError, match="no such volume"):
            await (await docker.volumes.get(volume)).show()


async def test_a_container_that_somebody_removes_is_a_crash(engine, settings, pool, spec_of) -> None:
    async with sleeping(pool, await spec_of("trouble")) as user:
        [name] = await containers(engine, settings)
        async with engine.call(Stage.START) as docker:
            await docker.containers.container(name).delete(force=True, v=True)
        with pytest.raises(StepError, match="somebody removed it") as caught:
            await user
    assert caught.value.kind is ErrorKind.CRASHED


async def test_tasks_of_one_space_run_side_by_side(pool, spec_of) -> None:
    spec = await spec_of("trouble")
    async with sleeping(pool, spec), sleeping(pool, spec):
        assert repr(pool) == "<Pool 2/3 containers: 2 busy; 0 waiting>"


async def test_tasks_wait_for_room(engine, settings, spec_of) -> None:
    spec, waits = await spec_of("shout"), asyncio.Event()

    def on_progress(text: str) -> None:
        if "waiting for room" in text:
            waits.set()

    async with Pool(engine, settings.model_copy(update={"max_containers": 1})) as pool:
        async with sleeping(pool, await spec_of("trouble")):
            second = asyncio.create_task(pool.complete(spec, task_of(AppCall("hi")), on_progress))
            await waits.wait()
        assert (await second).stdout.data == b"HI!\n"


@asynccontextmanager
async def severable(socket: Path) -> AsyncIterator[Callable[[], None]]:
    """A second socket of the real engine, until the function that this gives is called."""
    ends: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection("/var/run/docker.sock")
        ends.extend((writer, engine_writer))
        await asyncio.gather(copy(reader, engine_writer), copy(engine_reader, writer))

    server = await asyncio.start_unix_server(serve, socket)

    def sever() -> None:
        server.close()
        for end in ends:
            end.transport.abort()

    yield sever
    sever()


async def test_an_engine_that_goes_away_is_not_waited_for(engine, settings, spec_of, tmp_path: Path) -> None:
    spec = await spec_of("trouble")
    try:
        async with (
            severable(tmp_path / "docker.sock") as sever,
            Engine(f"unix://{tmp_path}/docker.sock") as going,
            Pool(going, settings) as pool,
            sleeping(pool, spec) as user,
        ):
            assert len(await containers(engine, settings)) == 1
            sever()
            with pytest.raises(StepError) as caught:
                await user
    finally:
        async with Pool(engine, settings):
            # A busy engine still lists a container for a moment that it has removed.
            await until(lambda: none_left(engine, settings))
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.DOCKER_UNAVAILABLE)


class Counting(Engine):
    """A real engine that tells when the call or stream of a given number begins."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left, self.reached = number, asyncio.Event()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.reached.set()

    @asynccontextmanager
    async def call(self, stage: Stage, seconds: float = 30.0) -> AsyncIterator[Docker]:
        async with super().call(stage, seconds) as docker:
            self._count()
            yield docker

    @asynccontextmanager
    async def stream(self, stage: Stage, seconds: float) -> AsyncIterator[Docker]:
        async with super().stream(stage, seconds) as docker:
            self._count()
            yield docker


# List, reap, watch, info; look at the network, make it, create, put, attach, start, inspect, text, files.
@pytest.mark.parametrize("number", range(2, 14))
async def test_a_task_cancelled_in_any_call_leaves_nothing_behind(settings, spec_of, number: int) -> None:
    spec = await spec_of("shout")
    async with Counting(number) as engine, Pool(engine, settings) as pool:
        user = asyncio.create_task(pool.complete(spec, task_of(AppCall("hi")), silent))
        await engine.reached.wait()
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user
        await pool.settled()
        assert repr(pool).startswith("<Pool 0/3")
        assert await containers(engine, settings) == []
