"""Spacedock: its worker as a daemon starts it."""

from __future__ import annotations

import sys

from tests.benchmarks.queues import measured
from tests.integration.queue.workers import no_registry, succeeded

from spacedock.client import Client
from spacedock.result import JobResult
from spacedock_worker.logs import configure
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker

DAEMONS_JOBS = 128
"""`max_jobs` of a daemon (worker/spacedock_worker/settings.py)."""


async def handle(job: TakenJob, tell: Emit) -> JobResult:
    """The no-op, or the job that is lost."""
    if job.request.prompt.startswith("held"):
        await measured.held(int(job.request.prompt.split()[1]))
    else:
        measured.ran()
    return succeeded(job)


class Spacedock:
    """Our own client and worker."""

    def __init__(self, url: str) -> None:
        self.client, self._url = Client(url), url

    async def open(self) -> None:
        await self.client.__aenter__()

    async def round_trip(self) -> None:
        await self.client.run("no-op")

    async def submit(self, count: int) -> None:
        await self.client.submit_many(f"no-op {number}" for number in range(count))

    async def submit_held(self, number: int) -> None:
        await self.client.submit(f"held {number}")

    async def work(self, jobs: int | None) -> None:
        configure("json", "info")
        await QueueWorker(self._url, handle, no_registry, jobs or DAEMONS_JOBS).main()


if __name__ == "__main__":
    measured.run(Spacedock(sys.argv[2]))
