"""Answers of 100 MB: refused at the limit, without ever being held."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import pytest
from tests.unit.gradio_calls import SAY, SEE, Heard, connected
from tests.unit.gradio_script import CHUNK, PROTOCOLS, STARTS, Reply, Script, config, done, speaking

from spacedock.files import payload_of
from spacedock.result import ErrorKind
from spacedock_worker.adapters.base import AppCall
from spacedock_worker.errors import StepError

LIMIT = 2**20
# The server sends from one chunk; what is held beside the limit is chunks on their way in both ends.
HELD = 10 * 2**20


def squeezed() -> bytes:
    """100 MB of spaces as gzip."""
    squeeze = zlib.compressobj(level=1, wbits=31)
    parts = [squeeze.compress(b" " * 2**20) for _ in range(100)]
    return b"".join([*parts, squeeze.flush()])


SQUEEZED = squeezed()
BOMB = Reply(SQUEEZED, headers={"Content-Encoding": "gzip"})


def _limits(**limits: int) -> dict[str, Any]:
    return {"answer": LIMIT} | limits


async def refused(script: Script, call: AppCall = SAY, **limits: int) -> tuple[StepError, int]:
    """The error of a call, and the bytes that were held at most while it went on."""
    async with connected(script, **_limits(**limits)) as adapter:
        tracemalloc.start()
        try:
            with pytest.raises(StepError) as caught:
                await adapter.call(call, Heard())
            return caught.value, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_answer_of_100_mb_is_never_held(protocol: str) -> None:
    error, held = await refused(speaking(protocol, STARTS, ending="flood"))
    assert error.kind is ErrorKind.BAD_OUTPUT
    assert "over the limit" in str(error)
    assert held < HELD


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_that_unpacks_to_100_mb_is_never_held(status: int) -> None:
    bomb = Reply(SQUEEZED, status, headers={"Content-Encoding": "gzip"})
    error, held = await refused(Script(config=config("ws", enable_queue=False), runs=[bomb]))
    assert error.kind in (ErrorKind.BAD_OUTPUT, ErrorKind.APP_ERROR)
    assert held < HELD


async def test_a_file_that_unpacks_to_100_mb_is_never_held() -> None:
    picture = {"path": "/tmp/a.png", "meta": {"_type": "gradio.FileData"}}
    script = Script(files=[BOMB]).says(done(picture))
    script.config["dependencies"][0]["outputs"] = [2]
    error, held = await refused(script, file=LIMIT)
    assert error.kind is ErrorKind.BAD_OUTPUT
    assert held < HELD


async def test_the_answer_to_an_upload_is_not_read_without_end() -> None:
    error, held = await refused(Script(upload=BOMB), SEE)
    assert error.kind is ErrorKind.BAD_OUTPUT
    assert held < HELD


@pytest.mark.parametrize("route", ["/config", "/info"])
async def test_a_description_of_100_mb_is_never_held(route: str) -> None:
    script = Script(routes={route: BOMB})
    tracemalloc.start()
    try:
        if route == "/info":
            async with connected(script, answer=LIMIT):
                pass
        else:
            with pytest.raises(AssertionError):
                async with connected(script, answer=LIMIT):
                    pass
        assert tracemalloc.get_traced_memory()[1] < HELD
    finally:
        tracemalloc.stop()


def pictures(count: int) -> Any:
    meta = {"_type": "gradio.FileData"}
    return [{"path": f"/tmp/{n}.png", "meta": meta} for n in range(count)]


@pytest.mark.parametrize(("limits", "fits"), [({}, True), ({"file": 2}, False), ({"files": 5}, False)])
async def test_files_are_taken_up_to_the_limits(limits: dict[str, Any], fits: bool) -> None:
    script = Script().says(done(pictures(2)))
    script.config["dependencies"][0]["outputs"] = [2]
    async with connected(script, **limits) as adapter:
        if fits:
            assert len((await adapter.call(SAY, Heard())).files) == 2
            return
        with pytest.raises(StepError) as caught:
            await adapter.call(SAY, Heard())
    assert caught.value.kind is ErrorKind.BAD_OUTPUT


async def test_a_large_file_goes_up_whole() -> None:
    script = Script().says(done("well"))
    script.config["dependencies"][1]["outputs"] = [1]
    call = AppCall("", (payload_of("a.png", CHUNK * 3),), endpoint="/see")
    async with connected(script) as adapter:
        assert (await adapter.call(call, Heard())).text == "well"
