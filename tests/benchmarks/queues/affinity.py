"""Row 7: how often ten Spaces are started on four hosts; real workers and claims, simulated containers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from unittest.mock import patch

from tests.benchmarks.queues.processes import served
from tests.integration.queue.workers import no_registry, succeeded

from spacedock.client import Client
from spacedock.hosts import Host
from spacedock.request import JobRequest
from spacedock.result import JobResult, Timings
from spacedock_worker.queue import choose
from spacedock_worker.queue.choose import Head, HostOffer, Supply
from spacedock_worker.queue.presence import Presence
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker

HOSTS, CONTAINERS, SPACES, JOBS = 4, 3, 10, 600
CALL_SECONDS, START_SECONDS = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Placed:
    """How often Spaces were started for JOBS jobs, and how many seconds all took."""

    starts: int
    seconds: float


class _SimulatedHost:
    """Up to CONTAINERS containers, of which the one that was idle for longest goes for another Space."""

    def __init__(self, name: str) -> None:
        self._name, self.starts = name, 0
        self._idle: list[str] = []
        self._busy: Counter[str] = Counter()
        self._waiting, self._change = 0, asyncio.Condition()

    def offer(self) -> HostOffer:
        """What it has."""
        up = Counter(self._idle) + self._busy
        supplies = {space: Supply(count, 1, CALL_SECONDS, START_SECONDS) for space, count in up.items()}
        return HostOffer(CONTAINERS, supplies, short=self._waiting > 0)

    def presence(self, jobs: int) -> Presence:
        """What it tells the others."""
        return Presence(Host(id=self._name, name=self._name, jobs=jobs), frozenset(_spaces()))

    async def handle(self, job: TakenJob, tell: Emit) -> JobResult:
        """Run a job in a container of its Space."""
        space = job.request.space or ""
        async with self._change:
            self._waiting += 1
            await self._change.wait_for(lambda: self._has_room(space))
            self._waiting -= 1
            started = not self._taken_idle(space)
            self._busy[space] += 1
        if started:
            self.starts += 1
            await asyncio.sleep(START_SECONDS)
        await asyncio.sleep(CALL_SECONDS)
        async with self._change:
            self._busy[space] -= 1
            self._idle.append(space)
            self._change.notify_all()
        times = Timings(start=START_SECONDS if started else 0.0, call=CALL_SECONDS)
        return succeeded(job).model_copy(update={"timings": times})

    def _has_room(self, space: str) -> bool:
        return space in self._idle or self._busy.total() < CONTAINERS

    def _taken_idle(self, space: str) -> bool:
        if space in self._idle:
            self._idle.remove(space)
            return True
        if self._busy.total() + len(self._idle) == CONTAINERS:
            self._idle.pop(0)
        return False


def _spaces() -> list[str]:
    return [f"space-{number}" for number in range(SPACES)]


async def _place() -> Placed:
    dice = random.Random(1)
    requests = [JobRequest(prompt="x", space=dice.choice(_spaces())) for _ in range(JOBS)]
    with served() as url:
        hosts = [_SimulatedHost(f"host-{number}") for number in range(HOSTS)]
        workers = [QueueWorker(url, host.handle, no_registry, capacity=host) for host in hosts]
        async with Client(url) as client:
            mains = [asyncio.create_task(worker.main()) for worker in workers]
            began = perf_counter()
            ids = await client.submit_many(requests)
            async for _ in client.results(ids):
                pass
            seconds = perf_counter() - began
        for main in mains:
            main.cancel()
        await asyncio.gather(*mains, return_exceptions=True)
        for worker in workers:
            await worker.close()
    return Placed(sum(host.starts for host in hosts), seconds)


def measure() -> tuple[Placed, Placed]:
    """With affinity, and where each host takes the oldest job."""
    oldest: Callable[[object, Head], float] = lambda _, head: -head.age  # noqa: E731
    near = asyncio.run(_place())
    with patch.object(choose._Choice, "_turn", oldest):
        return near, asyncio.run(_place())
