"""How fast the queue is: worker and client in processes of their own, over a Valkey that only they use."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

from spacedock.client import Client
from spacedock.errors import NotConnectedError, SpacedockError
from spacedock.locate import socket_url
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.logs import configure
from spacedock_worker.queue.job import TakenJob
from spacedock_worker.queue.teller import Tell
from spacedock_worker.queue.worker import QueueWorker
from spacedockd.valkey import server_binary

ROUND_TRIPS = 500
MANY = 10_000
START_SECONDS = 20.0


async def answer(job: TakenJob, tell: Tell) -> JobResult:
    """A handler that costs nothing: what is left is the queue."""
    return JobResult(id=job.id, state=JobState.SUCCEEDED)


async def refuse(*_: object) -> object:
    """No control calls here."""
    raise SpacedockError("the benchmark's worker has no registry")


async def work(url: str) -> None:
    """Take jobs until killed; the log is written as a daemon's worker writes it."""
    configure("json", "info")
    await QueueWorker(url, answer, refuse).main()


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The address of a Valkey with an append-only file, as the daemon runs it, and one worker on it."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis.sock")
        server = [server_binary(), "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""]
        worker = [sys.executable, __file__, "--work", socket_url(socket)]
        with subprocess.Popen([*server, "--appendonly", "yes"], stdout=subprocess.DEVNULL) as valkey:
            try:
                await answering(socket_url(socket))
                with Path(folder, "log").open("wb") as log, subprocess.Popen(worker, stderr=log) as working:
                    try:
                        yield socket_url(socket)
                    finally:
                        working.terminate()
            finally:
                valkey.terminate()


async def answering(url: str) -> None:
    """Wait until the server answers; it has no way of telling by itself."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with Client(url):
                    return
            except NotConnectedError:
                await asyncio.sleep(0.02)


async def measure(url: str) -> None:
    """Print one figure a line."""
    async with Client(url) as client:
        await client.run("the worker is up and warm")
        seconds = []
        for number in range(ROUND_TRIPS):
            began = perf_counter()
            await client.run(f"prompt {number}")
            seconds.append(perf_counter() - began)
        print(f"submit to result, median of {ROUND_TRIPS}: {statistics.median(seconds) * 1000:.2f} ms")
        began = perf_counter()
        ids = await client.submit_many(f"prompt {number}" for number in range(MANY))
        submitted = perf_counter()
        print(f"submit_many of {MANY:,}: {submitted - began:.2f} s")
        async for _ in client.results(ids):
            pass
        ended = perf_counter() - began
        print(f"submitted, run and read back: {MANY / ended:,.0f} jobs/s ({ended:.2f} s)")


async def main() -> None:
    """Measure against a server and a worker of our own."""
    async with served() as url:
        await measure(url)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[2]) if "--work" in sys.argv else main())
