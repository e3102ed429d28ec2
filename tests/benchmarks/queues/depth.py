"""Rows 5 and 8: what a claim takes behind many waiting jobs, and what waiting and finished jobs weigh."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from redis.asyncio import Redis
from tests.benchmarks.queues.processes import served

from spacedock._wire import submission, wire
from spacedock._wire.connection import connect
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output
from spacedock.states import JobState
from spacedock_worker.queue.choose import InHand, choose
from spacedock_worker.queue.job_store import JobStore

DEPTHS = (100, 10_000, 100_000)
CLAIMS = 300
PROMPT = "A prompt of about a hundred characters, which is what people write to Spaces, and one more half."


@dataclass(frozen=True, slots=True)
class Depth:
    """Seconds of each claim by depth, and bytes of a job on the server while it waits and once it ended."""

    claims: dict[int, list[float]]
    waiting: float
    finished: float


async def measure() -> Depth:
    """Fill servers, claim from them in turn, then end all jobs of the fullest."""
    with ExitStack() as stack:
        redis = {depth: connect(stack.enter_context(served())) for depth in DEPTHS}
        most = DEPTHS[-1]
        empty = await _used(redis[most])
        for depth, server in redis.items():
            requests = [JobRequest(prompt=f"{PROMPT} {number}") for number in range(depth)]
            await submission.submit(server, requests, "me")
        full = await _used(redis[most])
        claims: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
        for _ in range(CLAIMS):
            for depth, server in redis.items():
                claims[depth].append(await _one_claim(JobStore(server, "worker")))
        await _end_all(redis[most], most)
        done = await _used(redis[most])
        for server in redis.values():
            await server.aclose()
    return Depth(claims, (full - empty) / most, (done - empty) / most)


async def _used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])


async def _one_claim(store: JobStore) -> float:
    """Seconds of a look, the choice and the claim of one job, which goes back then."""
    began = perf_counter()
    _, seen = await store.take()
    claims, _ = await store.take(choose(seen.lanes, seen.virtual, 1, None, InHand(), {}))
    seconds = perf_counter() - began
    await store.release(claims[0].id)
    return seconds


async def _end_all(redis: Redis, count: int) -> None:
    """End the jobs with their prompts as answers, as no-op jobs do."""
    store, ended = JobStore(redis, "worker"), 0
    while ended < count:
        _, seen = await store.take()
        claims, _ = await store.take(choose(seen.lanes, seen.virtual, 500, None, InHand(), {}))
        output, state = Output(text=PROMPT), JobState.SUCCEEDED
        results = [JobResult(id=claimed.id, state=state, output=output) for claimed in claims]
        await asyncio.gather(*(store.finish(result, wire.encode(result), 0.001) for result in results))
        ended += len(claims)
