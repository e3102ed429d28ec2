"""A single prompt behind batches, two batches side by side, and the end of a busy daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from tests.acceptance.running import Daemon
from tests.benchmarks.queues.hosts import CONTAINERS, daemon

from spacedock.client import Client
from spacedock.request import JobRequest

BEHIND = (300, 10_000)
SINGLES = 11
BATCH = 200
_BUSY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Shares:
    """Seconds of single prompts for a Space that is up, by how many naps wait; of two batches; of SIGTERM."""

    singles: Mapping[int, list[float]]
    batches: tuple[float, float]
    stop: float


def measure() -> Shares:
    """One daemon with three containers: two of a Space that sleeps at least, and one of another Space."""
    with daemon(None) as host:
        singles, batches = asyncio.run(_shared(host))
        began = perf_counter()
        host.stop()
        return Shares(singles, batches, perf_counter() - began)


async def _shared(host: Daemon) -> tuple[dict[int, list[float]], tuple[float, float]]:
    async with Client(host.url) as client:
        await _batch(client, "brief", 4 * CONTAINERS)
        first, second = await asyncio.gather(_batch(client, "brief", BATCH), _batch(client, "brief", BATCH))
        await client.run("up", space="quick")
        singles = {0: [await _single(client) for _ in range(SINGLES)]}
        for waiting in BEHIND:
            await client.submit_many(_jobs("nap", waiting - sum(n for n in BEHIND if n < waiting)))
            # The containers of before give room to the naps.
            await asyncio.sleep(_BUSY_SECONDS)
            singles[waiting] = [await _single(client) for _ in range(SINGLES)]
        return singles, (first, second)


def _jobs(space: str, count: int) -> list[JobRequest]:
    return [JobRequest(prompt=f"{space} {n}", space=space) for n in range(count)]


async def _batch(client: Client, space: str, count: int) -> float:
    began = perf_counter()
    async for result in client.results(await client.submit_many(_jobs(space, count))):
        assert result.succeeded, result
    return perf_counter() - began


async def _single(client: Client) -> float:
    began = perf_counter()
    result = await client.run("now", space="quick")
    assert result.succeeded, result
    return perf_counter() - began
