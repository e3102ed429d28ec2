"""Pipelines of real Spaces, whose daemon and workers are killed: each step runs to its end once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any

import pytest
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import FIXTURES, SPACES, Daemon

from spacedock import Client
from spacedock.files import payload_of
from spacedock.pipelines.model import Pipeline
from spacedock.result import JobResult, Output

KILLS, MANY_KILLS = 2, 20
MANY, PHOTOS_A_RUN = 25, 5
PAUSE_SECONDS, MANY_PAUSE_SECONDS = 0.1, 5.0

Runs = list[tuple[Pipeline, dict[str, Any]]]


def pipeline(name: str, kind: str, **steps: dict[str, Any]) -> Pipeline:
    return Pipeline.model_validate({"name": name, "inputs": {"given": kind}, "steps": steps})


def each(of: str, **step: Any) -> dict[str, Any]:
    return {"for_each": f"${{{{ {of} }}}}", **step}


def small_runs() -> Runs:
    """A few runs of a Space that starts at once."""
    space = {"space": "openapi-sentiment"}
    chain = pipeline(
        "speech",
        "text",
        transcribe={**space, "prompt": "${{ inputs.given }}"},
        summarise={**space, "prompt": "a good day: ${{ steps.transcribe.text }}"},
        translate={**space, "prompt": "a bad day: ${{ steps.summarise.text }}"},
    )
    fan = pipeline(
        "album",
        "list",
        read=each("inputs.given", **space, prompt="${{ item }}"),
        classify=each("steps.read.text", **space, prompt="${{ item }}", cache=True),
    )
    return [(chain, {"given": "good"})] * 20 + [(fan, {"given": ["good"] * 20})] * 4


def many_runs() -> Runs:
    """Recordings that are transcribed, summarised and translated, and photos that are read and classified."""
    speech = pipeline(
        "speech",
        "file",
        transcribe={"space": "transcribe", "files": "${{ inputs.given }}"},
        summarise={"space": "summarise", "prompt": "${{ steps.transcribe.text }}."},
        translate={"space": "translate", "prompt": "${{ steps.summarise.text }}"},
    )
    album = pipeline(
        "album",
        "files",
        read=each("inputs.given", space="ocr", files="${{ item }}"),
        classify=each("steps.read.text", space="sentiment", prompt="I love ${{ item }}", cache=True),
    )
    recording, photo = ((FIXTURES / name).read_bytes() for name in ("hello.wav", "sign.png"))
    # What stands after its end makes a file another one, with the same content.
    runs: Runs = [(speech, {"given": payload_of(f"{n}.wav", recording + bytes(2 * n))}) for n in range(MANY)]
    photos = [payload_of(f"{n}.png", photo + bytes(n)) for n in range(MANY)]
    starts = range(0, MANY, PHOTOS_A_RUN)
    return runs + [(album, {"given": photos[start : start + PHOTOS_A_RUN]}) for start in starts]


@pytest.fixture
def many(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--all-versions"))


async def kill(daemon: Daemon, whole: bool) -> None:
    """Kill the worker, or the daemon, and start what does not start by itself."""
    if whole:
        await asyncio.to_thread(daemon.stop, signal.SIGKILL)
        await asyncio.to_thread(daemon.start)
        return
    pids = [event["pid"] for event in daemon.events if event["event"] == "worker.started"]
    with suppress(ProcessLookupError):
        os.kill(pids[-1], signal.SIGKILL)


@pytest.mark.timeout(3600)
async def test_pipelines_end_as_if_nothing_had_been_killed_and_no_step_runs_to_its_end_twice(
    make_daemon: StartDaemon, many: bool
) -> None:
    daemon = make_daemon(start=False, containers__max_containers="5")
    daemon.declare("translate", {"repository": str(SPACES / "g-translate"), "category": "translation"})
    daemon.start()
    dice, runs = random.Random(7), many_runs() if many else small_runs()
    async with Client(daemon.url) as client:
        # What becomes of each if nothing is killed; and the images are built.
        undisturbed = {
            pipeline.name: (await client.run_pipeline(pipeline, inputs)).output
            for pipeline, inputs in (runs[0], runs[-1])
        }
        ids = {await client.submit_pipeline(pipeline, inputs): pipeline.name for pipeline, inputs in runs}
        ending = asyncio.create_task(all_of(client, ids))
        kills, pause = (MANY_KILLS, MANY_PAUSE_SECONDS) if many else (KILLS, PAUSE_SECONDS)
        for number in range(kills):
            # Something has been done since the last kill, and something is left to do.
            await asyncio.wait({ending, asyncio.create_task(next_end(client))}, return_when="FIRST_COMPLETED")
            assert not ending.done(), f"all had ended before the {number + 1}. kill"
            await asyncio.sleep(dice.uniform(0.0, pause))
            await kill(daemon, whole=number % 2 == 1)
        results = await ending
    assert {run_id: result.failure for run_id, result in results.items() if not result.succeeded} == {}
    assert {run_id: plain(result.output) for run_id, result in results.items()} == {
        run_id: plain(undisturbed[name]) for run_id, name in ids.items()
    }
    assert written_twice(daemon.events) == {}


async def all_of(client: Client, ids: Iterable[str]) -> dict[str, JobResult]:
    return {result.id: result async for result in client.results(ids)}


async def next_end(client: Client) -> None:
    """Wait until one more job has ended."""
    async with aclosing(client.events()) as events:
        async for event in events:
            if event.state is not None:
                return


def plain(output: Output) -> tuple[str | None, Any]:
    return output.text, output.data


def written_twice(events: list[Mapping[str, Any]]) -> dict[str, int]:
    """The jobs of which more than one end was written, by the log of all workers."""
    ends = Counter(event["job_id"] for event in events if event["event"] == "job.ended" and event["written"])
    return {job_id: count for job_id, count in ends.items() if count > 1}
