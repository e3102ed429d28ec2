"""A worker for tests to kill: `process.py URL`. The prompt's first word says what its handler does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tests.integration.queue.workers import no_registry, succeeded

from spacedock.connection import answer, connect
from spacedock.result import JobResult
from spacedock_worker.logs import configure
from spacedock_worker.queue.job import TakenJob
from spacedock_worker.queue.teller import Tell
from spacedock_worker.queue.worker import QueueWorker

BEGAN = "test:began"
"""List of the ids of jobs that a process began to run."""


async def main(url: str) -> None:
    """Take jobs until killed."""
    configure("json", "info")
    async with connect(url) as redis:

        async def handle(job: TakenJob, tell: Tell) -> JobResult:
            await answer(redis.lpush(BEGAN, job.id))
            if job.request.prompt.startswith("hang"):
                await asyncio.Event().wait()
            if job.request.prompt.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            return succeeded(job)

        await QueueWorker(url, handle, no_registry).main()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
