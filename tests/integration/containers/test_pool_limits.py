"""Two hosts' worth of pools on one engine: their limits hold at every look, whatever the calls do."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from tests.integration.containers.parts import Page, answers, listing, silent

from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool

MB = 2**20
SPACES = {"one": 64 * MB, "two": 64 * MB, "three": 128 * MB, "four": 64 * MB, "five": 192 * MB}


async def watch(engine: Engine, limits: dict[str, tuple[int, int]], stop: asyncio.Event) -> Counter[str]:
    """Look again and again, until told to stop: no pool has more containers, or memory, than it may."""
    looks: Counter[str] = Counter()
    while not stop.is_set():
        for owner, (containers, memory) in limits.items():
            up = [c for c in await listing(engine, owner) if c["State"] in ("running", "paused")]
            assert len(up) <= containers, up
            assert sum(SPACES[c["Labels"]["io.spacedock.space"]] for c in up) <= memory, up
            looks[owner] += 1
            looks["most"] = max(looks["most"], len(up))
    return looks


async def test_the_limits_of_two_pools_hold_at_every_look(engine, settings, spec) -> None:
    dice = random.Random(4)
    small = settings.model_copy(update={"max_containers": 3, "memory_budget": 256 * MB, "pause_seconds": 0.2})
    others = {f"{settings.instance_id}-2": (2, 256 * MB), settings.instance_id: (3, 256 * MB)}
    hosts = [
        small,
        small.model_copy(update={"instance_id": f"{settings.instance_id}-2", "max_containers": 2}),
    ]
    served: Counter[str] = Counter()

    async def call(pool: Pool[Page], space: str, fate: float) -> None:
        async with pool.lease(spec(space, memory=SPACES[space]), answers, silent) as lease:
            assert await answers(lease.app.url)
            if fate < 0.05:
                lease.discard()
            served[space] += 1

    async with Pool(engine, hosts[0]) as one, Pool(engine, hosts[1]) as two:
        stop = asyncio.Event()
        looking = asyncio.create_task(watch(engine, others, stop))
        async with asyncio.TaskGroup() as calls:
            for number in range(200):
                pool, space = (one, two)[number % 2], dice.choice(list(SPACES))
                calls.create_task(call(pool, space, dice.random()))
        stop.set()
        looks = await looking
    assert served.total() == 200
    assert looks["most"] >= 2
    assert min(looks.values()) >= 2
