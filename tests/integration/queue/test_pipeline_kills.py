"""Runs of pipelines while workers and the queue's server are killed: each job ends once, none is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from contextlib import aclosing
from functools import partial

from redis.asyncio import Redis
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import ROOT, advancing, lapse, succeeded, until

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.pipelines.model import Pipeline
from spacedock.result import JobResult
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

KILLS, RUNS, WORDS = 6, 5, 20
STEPS = {
    "each": {"space": "a", "for_each": "${{ inputs.words }}", "prompt": "<${{ item }}>"},
    "twice": {"space": "b", "for_each": "${{ steps.each.text }}", "prompt": "${{ item }}${{ item }}"},
    "all": {"space": "c", "prompt": "${{ steps.twice.text }}"},
}
PIPELINE = Pipeline.model_validate({"name": "killed", "inputs": {"words": "list"}, "steps": STEPS})


async def work(url: str) -> None:
    """A worker that takes a moment for each job."""

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        await asyncio.sleep(0.1)
        return succeeded(job)

    async with advancing(url, handle):
        await asyncio.Event().wait()


async def started(url: str) -> Process:
    command = [sys.executable, "-m", __name__, url]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL)


async def killed(worker: Process, redis: Redis) -> None:
    """Kill the worker; what it held is free at once, instead of in some seconds."""
    worker.kill()
    await worker.wait()
    for job_id in await redis.zrange(keys.HELD, 0, -1):
        await lapse(redis, job_id.decode())
    for run_id in await redis.zrange(keys.RUNS, 0, -1):
        await redis.zadd(keys.RUNS, {run_id: 0}, xx=True)


async def is_at_work(redis: Redis) -> bool:
    held = [keys.IN_PROGRESS + job_id.decode() for job_id in await redis.zrange(keys.HELD, 0, -1)]
    return bool(held) and await redis.exists(*held) > 0


async def ends(client: Client) -> list[str]:
    """The ids of all jobs that were told to have ended."""
    found, last = list[str](), await client.last_event()
    async with aclosing(client.events(after=0)) as events:
        async for event in events:
            found += [event.job_id] if event.state else []
            if event.id == last:
                break
    return found


async def test_runs_end_as_if_nothing_had_been_killed(own_server: Server) -> None:
    dice = random.Random(3)
    given = [[f"{number}.{index}" for index in range(WORDS)] for number in range(RUNS)]
    async with Client(own_server.url) as client, connect(own_server.url) as redis:
        runs = {await client.submit_pipeline(PIPELINE, {"words": words}): words for words in given}
        worker = await started(own_server.url)
        try:
            for number in range(KILLS):
                await until(partial(is_at_work, redis), seconds=60)
                await asyncio.sleep(dice.uniform(0.0, 0.25))
                await killed(worker, redis)
                if number % 4 == 3:
                    os.kill(own_server.pid, signal.SIGKILL)
                    own_server.stop()
                    own_server.start()
                worker = await started(own_server.url)
            async with asyncio.timeout(60):
                results = [result async for result in client.results(runs)]
        finally:
            await killed(worker, redis)
        for result in results:
            assert result.output.text == "\n".join(f"<{word}><{word}>" for word in runs[result.id])
        counted = Counter(await ends(client))
    assert set(counted.values()) == {1}
    assert len(counted) == RUNS * (2 * WORDS + 2)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
