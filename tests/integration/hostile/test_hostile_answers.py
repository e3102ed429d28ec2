"""What a hostile server may do to whoever reads its answers: no harm, by the adapter for JSON APIs.

tests/unit has the same for Gradio's events (test_gradio_floods.py, test_gradio_nesting.py), and
tests/integration/test_terminal.py has whole commands on a terminal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.hostile.conftest import SPACES, narrow, serve, silent, spec_of

from spacedock.batching.results.saving import file_name
from spacedock.cli.output.text import printable
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AnswerLimits, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.chain import StepContext
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy

SECONDS = 60.0
# What may be read of one answer twice over, while it is put together, and room for this process's own.
ROOM = 2 * AnswerLimits().file + 64 * 2**20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Adapter]:
    """The connection to a hostile server that all attacks of this module share."""
    pool: Pool[Adapter]
    async with Engine() as engine, Pool(engine, narrow()) as pool, serve(engine, pool) as lease:
        yield lease.app


@contextmanager
def little_memory() -> Iterator[None]:
    """Fails where this process needed more than `ROOM` bytes of memory at once within the block."""
    before = resident("VmRSS")
    # Has the kernel measure the peak anew.
    Path("/proc/self/clear_refs").write_text("5")
    yield
    assert resident("VmHWM") - before < ROOM


def resident(field: str) -> int:
    """Bytes of this process's memory: VmRSS now, VmHWM at most."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("attack", "kind", "says"),
    [
        ("huge_text", ErrorKind.BAD_OUTPUT, "over the limit of 16 MB"),
        ("huge_json", ErrorKind.BAD_OUTPUT, "over the limit of 16 MB"),
        ("huge_file", ErrorKind.BAD_OUTPUT, "over the limit of 64 MB"),
        ("huge_error", ErrorKind.APP_ERROR, "400"),
        ("endless", ErrorKind.BAD_OUTPUT, "over the limit of 16 MB"),
        ("packed", ErrorKind.BAD_OUTPUT, "over the limit of 16 MB"),
        ("huge_header", ErrorKind.BAD_OUTPUT, "does not answer in HTTP"),
        ("many_headers", ErrorKind.BAD_OUTPUT, "does not answer in HTTP"),
        ("deep", ErrorKind.BAD_OUTPUT, "not JSON"),
        ("elsewhere", ErrorKind.APP_ERROR, "307"),
    ],
)
async def test_an_answer_beyond_all_bounds_is_an_error_soon_and_takes_little_memory(
    server: Adapter, attack: str, kind: ErrorKind, says: str
) -> None:
    with little_memory():
        async with asyncio.timeout(SECONDS):
            with pytest.raises(StepError, match=says) as caught:
                await server.call(AppCall(attack), silent)
    assert caught.value.kind is kind
    # Whoever asks next is answered.
    assert (await server.call(AppCall("harmless"), silent)).text == "nothing happened"


@pytest.mark.asyncio(loop_scope="module")
async def test_answers_that_only_announce_others_end_with_the_callers_patience(server: Adapter) -> None:
    with little_memory(), pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await server.call(AppCall("wait_more"), silent)


@pytest.mark.parametrize("attack", ["slow_headers", "slow_body"])
async def test_a_byte_a_second_ends_at_the_calls_timeout(engine, pool, attack: str) -> None:
    runner = SpaceRunner(ImagePolicy(Images(engine, ImageSettings())), pool, Opener())
    entry = SpaceEntry(id="hostile-server", repository=str(SPACES / "hostile-server"), adapter="openapi")
    job = TakenJob("j1", JobRequest(prompt=attack, timeout=1.5))
    context = StepContext(job, lambda *told: None, entry.id)
    with pytest.raises(StepError, match=r"no answer within 1.5 s") as caught:
        await runner.run(entry, context)
    assert (caught.value.stage, caught.value.kind) == (Stage.CALL, ErrorKind.TIMEOUT)
    await pool.settled()
    # It is still at it: its container went with the call.
    assert repr(pool) == "<Pool 0/3 containers: none; 0 waiting>"


async def test_a_server_that_describes_itself_by_a_byte_a_second_is_never_ready(engine, pool) -> None:
    spec = await spec_of(engine, "server", env={"START": "slow"}, start_timeout=3.0)
    connect = Opener().connect_to(spec.digest, Access(kind="openapi"))
    with pytest.raises(StepError) as caught:
        async with pool.lease(spec, connect, silent):
            pass
    assert (caught.value.stage, caught.value.kind) == (Stage.READY, ErrorKind.START_TIMEOUT)


@pytest.mark.asyncio(loop_scope="module")
async def test_escapes_of_an_answer_do_not_reach_a_terminal(server: Adapter) -> None:
    answer = await server.call(AppCall("escapes"), silent)
    with pytest.raises(StepError) as caught:
        await server.call(AppCall("escapes_in_error"), silent)
    assert answer.text is not None
    assert "\x1b" in answer.text
    for shown in (printable(answer.text), str(caught.value)):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
        assert "hidden" in shown


@pytest.mark.asyncio(loop_scope="module")
async def test_a_file_name_that_climbs_is_only_a_name(server: Adapter) -> None:
    answer = await server.call(AppCall("climbing_name"), silent)
    [file] = answer.files
    assert file.data == b"theirs"
    assert "/" not in file.ref.name
    assert file_name(file.ref.name) == file.ref.name == "mine"
