"""How fast the queue is, by `python -m tests.benchmarks.bench_queue`: client and worker are two processes."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from tests.integration.queue.servers import Server
from tests.integration.queue.workers import ROOT, echo, no_registry, until

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock_worker.logs import configure
from spacedock_worker.queue.worker import QueueWorker
from spacedockd.valkey import server_binary

ROUND_TRIPS = 500
MANY = 10_000


async def work(url: str) -> None:
    """Take jobs until killed; the log is written as a daemon's worker writes it."""
    configure("json", "info")
    await QueueWorker(url, echo, no_registry).main()


@contextmanager
def served() -> Iterator[str]:
    """The address of a server as the daemon runs it."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(server_binary(), Path(folder))
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


@contextmanager
def one_worker(url: str) -> Iterator[None]:
    """A worker in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_queue", "--work", url]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, cwd=ROOT, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()


async def round_trips(url: str) -> float:
    """Median seconds from submission to result, one job at a time."""
    seconds = []
    async with Client(url) as client:
        await client.run("the worker is up and warm")
        for number in range(ROUND_TRIPS):
            began = perf_counter()
            await client.run(f"prompt {number}")
            seconds.append(perf_counter() - began)
    return statistics.median(seconds)


async def submission(url: str) -> float:
    """Seconds to submit many jobs."""
    async with Client(url) as client:
        began = perf_counter()
        await client.submit_many(f"prompt {number}" for number in range(MANY))
        return perf_counter() - began


async def drained(url: str) -> float:
    """Seconds from the first of many waiting jobs that the worker takes to the last that it ends."""
    async with connect(url) as redis:

        async def begun() -> bool:
            return bool(await redis.zcard(keys.QUEUE) < MANY)

        async def empty() -> bool:
            return bool(await redis.zcard(keys.QUEUE) == 0)

        await until(begun)
        began = perf_counter()
        await until(empty, seconds=300)
        return perf_counter() - began


async def read_back(url: str) -> float:
    """Seconds to submit many jobs and read all their results while the worker runs them."""
    async with Client(url) as client:
        began = perf_counter()
        ids = await client.submit_many(f"prompt {number}" for number in range(MANY))
        async for _ in client.results(ids):
            pass
        return perf_counter() - began


def main() -> None:
    """Measure, and print one figure a line."""
    with served() as url:
        say(f"submit_many of {MANY:,}: {asyncio.run(submission(url)):.2f} s")
        with one_worker(url):
            say(f"drained by one worker: {MANY / asyncio.run(drained(url)):,.0f} jobs/s")
            say(f"submit to result, median of {ROUND_TRIPS}: {asyncio.run(round_trips(url)) * 1000:.2f} ms")
            say(f"submitted, run and read back: {MANY / asyncio.run(read_back(url)):,.0f} jobs/s")


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if "--work" in sys.argv:
        asyncio.run(work(sys.argv[2]))
    else:
        main()
