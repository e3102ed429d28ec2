"""Row 4: the Docker Engine restarted, stopped for a minute, and hanging, also as the daemon starts."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from tests.acceptance.running import Daemon
from tests.faults.account import Account, Case, Row
from tests.faults.ground import calls_of, daemon_to_start, stopped, warmed
from tests.faults.load import Load
from tests.faults.own_host import OwnHost, own_host

AWAY_SECONDS, HUNG_SECONDS, LATE_SECONDS = 60.0, 30.0, 20.0
BUSY_SECONDS = 5.0

Disturb = Callable[[OwnHost], Awaitable[None]]


async def restarted(host: OwnHost) -> None:
    await asyncio.to_thread(host.stop)
    await asyncio.to_thread(host.start)


async def killed(host: OwnHost) -> None:
    await asyncio.to_thread(host.stop, signal.SIGKILL)
    await asyncio.to_thread(host.start)


async def away(host: OwnHost, seconds: float = AWAY_SECONDS) -> None:
    await asyncio.to_thread(host.stop)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(host.start)


async def hung(host: OwnHost) -> None:
    host.tell(signal.SIGSTOP)
    await asyncio.sleep(HUNG_SECONDS)
    host.tell(signal.SIGCONT)


@asynccontextmanager
async def own_daemon() -> AsyncIterator[tuple[OwnHost, Daemon]]:
    """A daemon that is yet to be started, on an engine of its own."""
    async with own_host() as (host, image):
        entry = {"docker_image": image}
        async with daemon_to_start(entry=entry, containers__docker_host=host.docker_host) as daemon:
            daemon.within = host.within
            yield host, daemon


async def under_load(disturb: Disturb, trials: int) -> Account:
    """Disturb the engine so often under one load."""
    async with own_daemon() as (host, daemon):
        await asyncio.to_thread(daemon.start)
        await warmed(daemon.url)
        async with Load(daemon.url, partial(calls_of, daemon)) as load:
            for _ in range(trials):
                await asyncio.sleep(BUSY_SECONDS)
                held = await load.in_hand()
                await disturb(host)
                await load.recovered(time.time(), held, lives=True)
            await asyncio.sleep(BUSY_SECONDS)
            account = await load.stop(trials)
        return replace(account, left=tuple(await stopped(daemon)))


async def at_start(disturb: Disturb, trials: int) -> Account:
    """Start the daemon while its engine is away or hangs; jobs come as soon as it takes them."""
    async with own_daemon() as (host, daemon):
        await asyncio.to_thread(daemon.start)
        await warmed(daemon.url)
        await asyncio.to_thread(daemon.stop)
        disturbing = asyncio.create_task(disturb(host))
        await asyncio.sleep(1)
        await asyncio.to_thread(daemon.start)
        async with Load(daemon.url, partial(calls_of, daemon)) as load:
            await asyncio.sleep(BUSY_SECONDS)
            held = await load.in_hand()
            await disturbing
            await load.recovered(time.time(), held, lives=True)
            await asyncio.sleep(BUSY_SECONDS)
            account = await load.stop(trials)
        return replace(account, left=tuple(await stopped(daemon)))


ROW = Row(
    4,
    "The Docker Engine",
    (
        Case(
            "restart", "stopped in order and started at once, under load", partial(under_load, restarted), 5
        ),
        Case("kill", "kill -9 and started at once, under load", partial(under_load, killed), 5),
        Case("away", "stopped for a minute, under load", partial(under_load, away), 2),
        Case("hang", f"SIGSTOP for {HUNG_SECONDS:.0f} s, under load", partial(under_load, hung), 3),
        Case(
            "start-away",
            f"away when the daemon starts, there {LATE_SECONDS:.0f} s later",
            partial(at_start, partial(away, seconds=LATE_SECONDS)),
            1,
        ),
        Case("start-hang", "hanging when the daemon starts, for 30 s", partial(at_start, hung), 1),
    ),
)
