"""No job is lost, doubled or wrongly ended, whatever dies meanwhile: worker, daemon, queue, or all of them.

`make test-storms` runs the long form; STORM_SEED=7 the long form of one seed, such as one that failed.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
import yaml
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import SPACES, Daemon

from spacedock import Client
from spacedock._wire import keys
from spacedock._wire.connection import OUTAGES, connect, messages
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState

SEEDS, KILLS, JOBS = 20, 9, 200
SHORT_KILLS, SHORT_JOBS = 2, 40
RESTARTS, FILES = 10, 100
SHORT_RESTARTS, SHORT_FILES = 2, 12
FILE_BYTES = 2 * 2**20
END_SECONDS = 240.0
BACK_SECONDS = 60.0

SPACE = "counting"
_REGISTRY = {"spaces": {SPACE: {"id": SPACE, "repository": str(SPACES / "openapi-counting"), "calls": 4}}}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Twenty seeds, or one at random in the short form; the name of a test that failed tells its seed."""
    if "seed" not in metafunc.fixturenames:
        return
    given = os.environ.get("STORM_SEED")
    many = metafunc.config.getoption("--all-versions")
    seeds = [int(given)] if given else list(range(SEEDS)) if many else [secrets.randbelow(10_000)]
    metafunc.parametrize("seed", seeds)


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return bool(request.config.getoption("--all-versions") or os.environ.get("STORM_SEED"))


@pytest.fixture
def own_daemon(make_daemon: StartDaemon) -> AsyncIterator[Daemon]:
    """A daemon with the one Space that counts its calls; its single container outlives the queue."""
    daemon = make_daemon(start=False, drain_seconds="1", containers__max_containers="1")
    (daemon.folder / "registry.yaml").write_text(yaml.safe_dump(_REGISTRY))
    daemon.start()
    yield daemon
    daemon.remove()


class Victims:
    """The processes of a daemon, to be killed."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def kill(self, what: str, signum: int = signal.SIGKILL) -> None:
        """Kill the worker, the daemon, the queue, or all; a daemon that was killed is started again."""
        assert self._daemon.process is not None
        if what in ("worker", "valkey"):
            os.kill(await self._back(what), signum)
            return
        self._daemon.process.send_signal(signum)
        if what == "all":
            for pid in filter(None, map(self._pid, ("worker", "valkey"))):
                os.kill(pid, signum)
        self._daemon.process.wait()
        await asyncio.to_thread(self._daemon.start)

    def _pid(self, what: str) -> int | None:
        """The process that was started last, if it is there."""
        pids = [event["pid"] for event in self._daemon.events if event["event"] == f"{what}.started"]
        return pids[-1] if pids and lives(pids[-1]) else None

    async def _back(self, what: str) -> int:
        """The process, once it is there: it may just be on its way back."""
        async with asyncio.timeout(BACK_SECONDS):
            while (pid := self._pid(what)) is None:  # noqa: ASYNC110 (a process cannot be waited for)
                await asyncio.sleep(0.05)
            return pid


def lives(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def announced(daemon: Daemon) -> AsyncIterator[Counter[str]]:
    """How often the end of each job was announced, as far as the queue was there to do so."""
    ends: Counter[str] = Counter()

    async def listen() -> None:
        while True:
            with suppress(*OUTAGES):
                async with connect(daemon.url) as redis, aclosing(messages(redis, keys.DONE)) as heard:
                    async for message in heard:
                        if message is not None:
                            ends[message.text] += 1
            await asyncio.sleep(0.05)

    listening = asyncio.create_task(listen())
    try:
        yield ends
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def results_of(client: Client, ids: list[str]) -> dict[str, JobResult]:
    """The results of all jobs, each by its id."""
    async with asyncio.timeout(END_SECONDS):
        return {result.id: result async for result in client.results(ids, keep=True)}


async def left_over(daemon: Daemon) -> list[bytes]:
    """What of the queue is in Redis when all jobs have ended."""
    async with connect(daemon.url) as redis:
        return [key async for key in redis.scan_iter("arq:*", count=1000)]


def wrong(results: dict[str, JobResult]) -> dict[str, str]:
    """Why the jobs that did not succeed ended."""
    return {
        r.id: f"{r.state.value}: {r.error}" for r in results.values() if r.state is not JobState.SUCCEEDED
    }


def written(daemon: Daemon) -> Counter[str]:
    """How many results were written of each job, by the daemon's log."""
    ended = [event for event in daemon.events if event["event"] == "job.ended" and event["written"]]
    return Counter(event["job_id"] for event in ended)


@pytest.mark.timeout(900)
async def test_random_kills_lose_double_and_condemn_no_job(own_daemon: Daemon, seed: int, full: bool) -> None:
    dice, victims = random.Random(seed), Victims(own_daemon)
    kills, jobs = (KILLS, JOBS) if full else (SHORT_KILLS, SHORT_JOBS)
    async with Client(own_daemon.url) as client, announced(own_daemon) as ends:
        # The image is built before the first kill.
        assert (await client.run("first", space=SPACE, endpoint="/shout", fallback="none")).succeeded
        prompts = [f"job {number} of seed {seed}" for number in range(jobs)]
        asked = {"space": SPACE, "endpoint": "/shout", "fallback": "none"}
        ids = await client.submit_many(JobRequest(prompt=prompt, **asked) for prompt in prompts)
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.1, 4.0))
            await victims.kill(dice.choice(("worker", "daemon", "valkey", "all")))
        results = await results_of(client, ids)
        assert wrong(results) == {}
        assert results.keys() == set(ids)
        for job_id, prompt in zip(ids, prompts, strict=True):
            assert prompt.upper() in (results[job_id].output.text or "")
    assert {job_id: count for job_id, count in (ends | written(own_daemon)).items() if count > 1} == {}
    assert await left_over(own_daemon) == []


@pytest.mark.timeout(900)
async def test_restarts_of_the_queue_fail_no_job_and_lose_no_file(
    own_daemon: Daemon, full: bool, tmp_path: Path
) -> None:
    dice, victims = random.Random(1), Victims(own_daemon)
    restarts, count = (RESTARTS, FILES) if full else (SHORT_RESTARTS, SHORT_FILES)
    files = [tmp_path / f"{number}.bin" for number in range(count)]
    for file in files:
        file.write_bytes(dice.randbytes(FILE_BYTES))
    async with Client(own_daemon.url) as client:
        assert (await client.run("first", space=SPACE, endpoint="/shout", fallback="none")).succeeded
        ids = [
            await client.submit(files=[file], space=SPACE, endpoint="/reversed", fallback="none")
            for file in files
        ]
        for number in range(restarts):
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            await victims.kill("valkey", signal.SIGKILL if number % 2 else signal.SIGTERM)
        results = await results_of(client, ids)
        assert wrong(results) == {}
        for job_id, file in zip(ids, files, strict=True):
            [answer] = results[job_id].output.files
            assert await client.fetch(answer) == file.read_bytes()[::-1]
        told = await client.run("how often?", space=SPACE, endpoint="/calls", fallback="none")
    assert {calls for name, calls in told.output.data.items() if name != "first"} <= {1, 2}
    assert len(told.output.data) == count + 1
