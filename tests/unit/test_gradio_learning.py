"""The way past the app's queue: taken where a comparison showed the same answer, and given up again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.gradio_calls import SAY, SEE, Heard, connected
from tests.unit.gradio_script import DONE, PROTOCOLS, Reply, Script, config, done, failed, speaking

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.gradio import adapter, direct
from spacedock_worker.adapters.gradio.direct import LearnedEndpoints
from spacedock_worker.errors import StepError

SAME = Reply({"data": ["well"]})
PROVEN = {"/say": True}


async def called(script: Script, times: int, memory: LearnedEndpoints | None = None) -> list[str | None]:
    async with connected(script, memory=memory) as app:
        return [(await app.call(SAY, Heard())).text for _ in range(times)]


def ways(script: Script) -> tuple[int, int]:
    """How many calls came by the queue, and how many past it."""
    return script.count("/queue/join"), script.count("/run/predict")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_same_answer_opens_the_way_past_the_queue(protocol: str) -> None:
    script = speaking(protocol, DONE, runs=[SAME] * 3)
    assert await called(script, 3) == ["well"] * 3
    assert ways(script) == (1, 3)


@pytest.mark.parametrize(
    "compared",
    [
        Reply({"data": ["other"]}),
        Reply({"data": "root='well'"}),
        Reply({"data": []}),
        Reply({"data": ["well", "more"]}),
        Reply({}),
        Reply(b"<html>"),
        Reply({"detail": "no"}, 404),
        Reply({"detail": "This API endpoint does not accept direct HTTP POST requests."}, 422),
        Reply({"error": "No"}, 500),
    ],
)
async def test_another_answer_closes_it_for_good(compared: Reply) -> None:
    script, memory = Script(runs=[compared, SAME, SAME]).says(DONE), LearnedEndpoints()
    assert await called(script, 3, memory) == ["well"] * 3
    assert (ways(script), memory.direct) == ((3, 1), {"/say": False})


async def test_an_app_that_refuses_later_is_called_by_its_queue_and_never_past_it_again() -> None:
    script, memory = Script().says(DONE), LearnedEndpoints(direct=dict(PROVEN))
    assert await called(script, 2, memory) == ["well"] * 2
    assert (ways(script), memory.direct) == ((2, 1), {"/say": False})


async def test_the_words_of_the_app_are_the_error_past_the_queue_too() -> None:
    script = Script(runs=[Reply({"error": "No, thank you"}, 500)])
    with pytest.raises(StepError, match="No, thank you"):
        await called(script, 1, LearnedEndpoints(direct=dict(PROVEN)))
    assert ways(script) == (0, 1)


async def test_a_failure_is_not_compared() -> None:
    script, memory = Script(runs=[SAME]).says(failed("No")), LearnedEndpoints()
    with pytest.raises(StepError):
        await called(script, 1, memory)
    assert (ways(script), memory.direct) == ((1, 0), {})


async def test_a_function_that_takes_long_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "SHORT_SECONDS", -1.0)
    script, memory = Script(runs=[SAME]).says(DONE), LearnedEndpoints()
    assert await called(script, 1, memory) == ["well"]
    assert (ways(script), memory.direct) == ((1, 0), {})


async def test_a_function_that_has_become_slow_goes_back_to_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapter, "SHORT_SECONDS", -1.0)
    script, memory = Script(runs=[SAME]).says(DONE), LearnedEndpoints(direct=dict(PROVEN))
    assert await called(script, 2, memory) == ["well"] * 2
    assert (ways(script), memory.direct) == ((1, 1), {"/say": False})


async def test_a_comparison_that_hangs_does_not_hold_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "COMPARE_SECONDS", 0.1)
    script, memory = Script(holds={"/run/predict": asyncio.Event()}).says(DONE), LearnedEndpoints()
    assert await called(script, 1, memory) == ["well"]
    assert memory.direct == {"/say": False}


@pytest.mark.parametrize("nothing", ["", None, [], {}])
async def test_an_empty_answer_proves_nothing(nothing: Any) -> None:
    script, memory = Script(runs=[Reply({"data": [nothing]})]).says(done(nothing)), LearnedEndpoints()
    await called(script, 1, memory)
    assert (ways(script), memory.direct) == ((1, 0), {})


@pytest.mark.parametrize("kind", [{"types": {"generator": True}}, {"types": {"continuous": True}}])
async def test_a_function_that_streams_is_not_compared(kind: dict[str, Any]) -> None:
    say = config()["dependencies"][0] | kind
    script, memory = Script(config=config(dependencies=[say]), runs=[SAME]).says(DONE), LearnedEndpoints()
    assert await called(script, 1, memory) == ["well"]
    assert (ways(script), memory.direct) == ((1, 0), {})


async def test_files_are_compared_by_their_bytes() -> None:
    picture = {"path": "/tmp/a.png", "meta": {"_type": "gradio.FileData"}}
    told = config()
    told["dependencies"][0]["outputs"] = [2]
    script, memory = (
        Script(config=told, runs=[Reply({"data": [picture]})]).says(done(picture)),
        LearnedEndpoints(),
    )
    script.files = [Reply(b"one"), Reply(b"two")]
    await called(script, 1, memory)
    assert memory.direct == {"/say": False}


async def test_what_one_container_has_shown_counts_for_all_of_its_image() -> None:
    memory, script = LearnedEndpoints(), Script(runs=[SAME]).says(DONE)
    await called(script, 1, memory)
    second = Script(runs=[SAME]).says(DONE)
    assert await called(second, 1, memory) == ["well"]
    assert ways(second) == (0, 1)


async def test_calls_past_the_queue_are_made_one_by_one() -> None:
    script = Script(runs=[SAME] * 8).says(DONE)
    async with connected(script, memory=LearnedEndpoints(direct=dict(PROVEN))) as app:
        answers = await asyncio.gather(*(app.call(SAY, Heard()) for _ in range(8)))
    assert {answer.text for answer in answers} == {"well"}
    assert (script.most, ways(script)) == (1, (0, 8))


async def test_while_a_call_is_past_the_queue_no_other_is_made() -> None:
    held = asyncio.Event()
    script = Script(holds={"/run/predict": held}, runs=[SAME] * 2).says(DONE)
    async with asyncio.timeout(60), connected(script, memory=LearnedEndpoints(direct=dict(PROVEN))) as app:
        first = asyncio.create_task(app.call(SAY, Heard()))
        await script.reached.wait()
        others = [asyncio.create_task(app.call(SAY, Heard())) for _ in range(2)]
        # The call of a file is answered up to its upload meanwhile, so theirs would have come too.
        uploading = asyncio.create_task(app.call(SEE, Heard()))
        await script.uploaded.wait()
        assert ways(script) == (0, 1)
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading
        held.set()
        assert {(await task).text for task in [first, *others]} == {"well"}


async def test_beside_a_call_in_the_queue_a_proven_one_is_queued_too() -> None:
    told = config()
    told["dependencies"].append({"id": 2, "api_name": "slow", "inputs": [1], "outputs": [1]})
    script = Script(config=told, ending="silence", runs=[SAME])
    async with asyncio.timeout(60), connected(script, memory=LearnedEndpoints(direct=dict(PROVEN))) as app:
        slow = asyncio.create_task(app.call(AppCall("hi", endpoint="/slow"), Heard()))
        await script.listening.wait()
        script.says(DONE).ending = "end"
        assert (await app.call(SAY, Heard())).text == "well"
        assert ways(script) == (2, 0)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


async def test_every_way_gives_progress_to_its_caller_alone() -> None:
    script, heard = Script(runs=[SAME]).says({"msg": "process_starts"}, DONE), Heard()
    async with connected(script) as app:
        await app.call(SAY, heard)
    assert heard.messages == ["running"]
