"""A worker for tests to kill; the prompt's first word says what its handler does.

`process.py URL 0` is the worker itself; `process.py URL 5` starts it, waits for its end, and starts the next.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import redis
from tests.integration.queue.workers import no_registry, succeeded

from spacedock._wire.connection import answer, connect
from spacedock.result import JobResult
from spacedock_worker.logs import configure
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker

BEGAN = "test:began"
"""List of the ids of jobs that a process began to run."""

DIED = "test:died"
"""List with one item for each worker that has ended."""


async def main(url: str) -> None:
    """Take jobs until killed."""
    configure("json", "info")
    async with connect(url) as recorder:

        async def handle(job: TakenJob, tell: Emit) -> JobResult:
            await job.at_work(True)
            await answer(recorder.lpush(BEGAN, job.id))
            if job.request.prompt.startswith("hang"):
                await asyncio.Event().wait()
            if job.request.prompt.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            return succeeded(job)

        await QueueWorker(url, handle, no_registry).main()


def live_and_die(url: str, lives: int) -> None:
    """One worker after the other."""
    with redis.Redis.from_url(url) as told:
        for _ in range(lives):
            if (child := os.fork()) == 0:
                asyncio.run(main(url))
            os.waitpid(child, 0)
            told.lpush(DIED, child)


if __name__ == "__main__":
    address, times = sys.argv[1], int(sys.argv[2])
    if times:
        live_and_die(address, times)
    else:
        asyncio.run(main(address))
