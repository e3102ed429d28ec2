"""What a pipeline's step costs beside the same job alone, and whether a fan-out keeps a host busy.

Run by `python -m tests.benchmarks.bench_pipeline`. A worker that answers at once, or after a while, is a
process of its own. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from tests.integration.queue.servers import Server
from tests.integration.queue.workers import advancing, succeeded

from spacedock.client import Client
from spacedock.pipelines.model import Pipeline
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.valkey import server_binary

ROUNDS, STEPS, FANNED, SLOTS = 60, 10, 1000, 8
SHORT_SECONDS, USUAL_SECONDS = 0.03, 0.4
STEP_MS, OF_BATCH, BUSY = 5.0, 0.9, 0.97


async def work(url: str) -> None:
    """A worker; what it is asked is how long it takes, and it answers from when to when it worked."""

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        if not (seconds := float(job.request.prompt)):
            return succeeded(job)
        begun = perf_counter()
        await asyncio.sleep(seconds)
        output = Output(text=f"{begun} {perf_counter()}")
        return succeeded(job).model_copy(update={"output": output})

    async with advancing(url, handle, max_jobs=SLOTS):
        await asyncio.Event().wait()


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, url, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def chain() -> Pipeline:
    """Steps that each take from the one before."""
    steps = {"s0": {"space": "a", "prompt": "0"}}
    for number in range(1, STEPS):
        steps[f"s{number}"] = {"space": "a", "prompt": f"${{{{ steps.s{number - 1}.text }}}}"}
    return Pipeline.model_validate({"name": "chain", "steps": steps})


async def timed(work: object) -> float:
    begun = perf_counter()
    await work  # type: ignore[misc]
    return perf_counter() - begun


async def step_cost(client: Client) -> bool:
    alone, stepped = list[float](), list[float]()
    for _ in range(ROUNDS):
        alone += [await timed(client.run("0", space="a")) for _ in range(STEPS)]
        stepped.append(await timed(client.run_pipeline(chain())) / STEPS)
    job, step = (1000 * median(times) for times in (alone, stepped))
    print(
        f"a job alone {job:.2f} ms, a step {step:.2f} ms (median): {step - job:+.2f} ms (bar {STEP_MS:g} ms)"
    )
    slow = [1000 * quantiles(times, n=10)[-1] for times in (alone, stepped)]
    print(f"the slowest tenth: {slow[0]:.2f} ms, {slow[1]:.2f} ms")
    return step - job <= STEP_MS


def fan(seconds: float) -> Pipeline:
    """One step that runs for 1,000 items, each of which takes so long."""
    step = {"space": "a", "for_each": [str(seconds)] * FANNED, "prompt": "${{ item }}"}
    return Pipeline.model_validate({"name": "fan", "steps": {"each": step}})


async def fan_out_beside_batch(client: Client) -> bool:
    """Items so short that the processor is the limit: the bar is what the same jobs do as a batch."""
    requests = [JobRequest(prompt=str(SHORT_SECONDS), space="a") for _ in range(FANNED)]

    async def batch() -> None:
        async for _ in client.results(await client.submit_many(requests)):
            pass

    run, jobs = await timed(client.run_pipeline(fan(SHORT_SECONDS))), await timed(batch())
    busy = [FANNED * SHORT_SECONDS / SLOTS / seconds for seconds in (run, jobs)]
    print(f"{FANNED:,} items of {1000 * SHORT_SECONDS:g} ms keep {SLOTS} slots busy: {busy[0]:.1%};")
    print(f"the same as a batch of jobs: {busy[1]:.1%} (bar {OF_BATCH:.0%} of that)")
    return busy[0] >= OF_BATCH * busy[1]


def busy_share(spans: list[tuple[float, float]]) -> float:
    """The share of all slots that worked, from the first start until less is left than there are slots."""
    first = min(start for start, _ in spans)
    last = sorted(end for _, end in spans)[-SLOTS - 1]
    worked = sum(max(0.0, min(end, last) - start) for start, end in spans)
    return worked / (SLOTS * (last - first))


async def fan_out(client: Client) -> bool:
    """Items as long as usual calls."""
    result = await client.run_pipeline(fan(USUAL_SECONDS))
    spans = [tuple(map(float, text.split())) for text in result.output.data["each"]]
    share = busy_share(spans)
    print(
        f"{FANNED:,} items of {1000 * USUAL_SECONDS:g} ms keep {SLOTS} slots busy: "
        f"{share:.1%} (bar {BUSY:.0%})"
    )
    return share >= BUSY


async def bench(folder: Path) -> bool:
    server = Server(server_binary(), folder)
    server.start()
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        await stack.enter_async_context(worker(server.url))
        client = await stack.enter_async_context(Client(server.url))
        await client.run("0")
        return all([await step_cost(client), await fan_out_beside_batch(client), await fan_out(client)])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(work(sys.argv[1]))
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(0 if asyncio.run(bench(Path(directory))) else 1)
