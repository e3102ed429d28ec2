"""Workers for the queue's tests: in this process with small handlers, or in processes that can be killed."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, OnProgress, Reply
from spacedock.hosts import Host
from spacedock.result import JobResult, Output
from spacedock.states import JobState
from spacedock_worker.pipelines.advancer import Advancer
from spacedock_worker.queue.choose import HostOffer, InHand, choose
from spacedock_worker.queue.claims import Claimed
from spacedock_worker.queue.job_store import Blame, JobStore
from spacedock_worker.queue.presence import Capacity, Presence
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.rpc import ControlHandler
from spacedock_worker.queue.runner import Handler, TakenJob
from spacedock_worker.queue.worker import QueueWorker

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 60.0


def succeeded(job: TakenJob) -> JobResult:
    """The job's prompt as its answer."""
    return JobResult(
        id=job.id,
        state=JobState.SUCCEEDED,
        output=Output(text=job.request.prompt),
        labels=job.request.labels,
    )


async def echo(job: TakenJob, tell: Emit) -> JobResult:
    """A handler that answers at once."""
    return succeeded(job)


async def no_registry(call: Call, redis: Redis, tell: OnProgress) -> Reply:
    """A control handler that knows nothing."""
    return Reply()


class Held:
    """A handler that says when a job has begun, and answers when it is let go."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        self.runs: list[str] = []
        self.stopped: list[str] = []

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        self.runs.append(job.id)
        self.began.put_nowait(job.id)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(job.id)
            raise
        return succeeded(job)


@asynccontextmanager
async def working(
    url: str,
    handler: Handler = echo,
    controls: ControlHandler = no_registry,
    max_jobs: int = 8,
    capacity: Capacity | None = None,
    on_run: Callable[[], None] = lambda: None,
) -> AsyncIterator[QueueWorker]:
    """A worker that takes jobs until the block ends; a worker that fell over is the test's failure."""
    worker = QueueWorker(url, handler, controls, max_jobs, capacity, on_run)
    main = asyncio.create_task(worker.main())
    try:
        yield worker
        assert not main.done(), f"the worker fell over: {main}"
    finally:
        jobs = list(worker.tasks.values())
        for task in (main, *jobs):
            task.cancel()
        await asyncio.gather(main, *jobs, return_exceptions=True)
        await worker.close()


@asynccontextmanager
async def advancing(
    url: str, handler: Handler = echo, controls: ControlHandler = no_registry, max_jobs: int = 8
) -> AsyncIterator[QueueWorker]:
    """A worker that also moves the runs of pipelines on."""
    async with connect(url) as redis:
        advancer = Advancer(redis)
        moving = asyncio.create_task(advancer.run())
        try:
            async with working(url, handler, controls, max_jobs, on_run=advancer.wake) as worker:
                yield worker
            assert not moving.done(), f"the advancer fell over: {moving}"
        finally:
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)


@asynccontextmanager
async def worker_process(url: str, log: Path, lives: int = 0) -> AsyncIterator[Process]:
    """A worker in a process of its own, or so many one after the other: see `process.py`."""
    command = [sys.executable, "-m", "tests.integration.queue.process", url, str(lives)]
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=stderr)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class HostOf:
    """A host of that name, with what it offers, and what it serves."""

    def __init__(self, name: str, offer: HostOffer, serves: frozenset[str] = frozenset()) -> None:
        self._name, self._offer = name, replace(offer, serves=lambda target: target in serves or not serves)
        self._serves = serves

    def offer(self) -> HostOffer:
        """What it has."""
        return self._offer

    def presence(self, jobs: int) -> Presence:
        """What it tells."""
        warm = {space: supply.containers for space, supply in self._offer.supplies.items()}
        host = Host(id=self._name, name=self._name, containers=self._offer.containers, warm=warm, jobs=jobs)
        return Presence(host, self._serves)


async def take(store: JobStore, free: int = 1000, suspects: int = 0) -> list[Claimed]:
    """What a worker that takes whatever comes claims of the waiting jobs."""
    _, seen = await store.take()
    claims, _ = await store.take(choose(seen.lanes, seen.virtual, free, None, InHand(), {}), suspects)
    return claims


async def until(true: Callable[[], Awaitable[bool]], seconds: float = DEADLINE_SECONDS) -> None:
    """Ask again and again: for what Redis, or a worker, has no way of announcing."""
    async with asyncio.timeout(seconds):
        while True:
            if await true():
                return
            await asyncio.sleep(0.02)


async def lapse(redis: Redis, job_id: str, blame: Blame = Blame.EXECUTED) -> None:
    """Let a job's lease run out now, and tell whom its worker's death is charged to, as its daemon does."""
    if (holder := await redis.get(keys.arq_in_progress(job_id))) and blame is not Blame.UNKNOWN:
        await redis.set(keys.accused(holder.decode()), blame, nx=blame is Blame.EXECUTED)
    await redis.delete(keys.arq_in_progress(job_id))
    await redis.zadd(keys.HELD, {job_id: 0}, xx=True)
    await redis.publish(keys.WAKE, "1")
