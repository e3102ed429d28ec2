"""Row 13: two hosts of one queue: one cut off from it, killed, and with a clock an hour ahead."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.acceptance.running import Daemon
from tests.faults.account import Account, CannotRunError, Case, Row
from tests.faults.ground import calls_of, daemon_to_start, stopped, warmed
from tests.faults.load import Load
from tests.faults.own_host import HERE, OwnHost, own_host
from tests.faults.rows.processes import WORKER, Victims
from tests.integration.queue.servers import Server

from spacedockd.valkey import server_binary

PORT = 16391
BUSY_SECONDS = 15.0
SHORT_SECONDS, LONG_SECONDS = 60.0, 600.0
LIMIT_SECONDS = 10.0
USERS = 12
AHEAD = "+1h"
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two hosts of one queue: `here` on this machine's engine, `there` behind a link, on its own."""

    here: Daemon
    there: Daemon
    host: OwnHost

    def calls(self) -> list[tuple[float, str]]:
        return [*calls_of(self.here), *calls_of(self.there)]


@asynccontextmanager
async def pair(there_env: dict[str, str]) -> AsyncIterator[Pair]:
    """Both hosts, started; the queue's server is this machine's."""
    async with own_host() as (host, image), queue_server() as server:
        entry = {"docker_image": image}
        there_url = f"redis://{HERE}:{PORT}"
        async with (
            daemon_to_start(entry=entry, redis_url=server.url) as here,
            daemon_to_start(
                entry=entry, redis_url=there_url, containers__docker_host=host.docker_host
            ) as there,
        ):
            there.within = host.within
            there.env |= there_env
            await asyncio.to_thread(here.start)
            await warmed(server.url)
            await asyncio.to_thread(there.start)
            yield Pair(here, there, host)


@asynccontextmanager
async def queue_server() -> AsyncIterator[Server]:
    """A server on a socket, and on this machine's end of the link."""
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    server = Server(server_binary(), folder, "--port", str(PORT), "--bind", HERE, "--protected-mode", "no")
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


Disturb = Callable[[Pair, Load], Awaitable[None]]


async def tried(disturb: Disturb, trials: int, env: dict[str, str] | None = None) -> Account:
    """Disturb the second host so often, while both have work."""
    async with pair(env or {}) as both:
        url = both.here.env["SPACEDOCK_REDIS_URL"]
        async with Load(url, both.calls, users=USERS) as load:
            for _ in range(trials):
                await asyncio.sleep(BUSY_SECONDS)
                await disturb(both, load)
            await asyncio.sleep(BUSY_SECONDS)
            account = await load.stop(trials)
        left = [*await stopped(both.there, url), *await stopped(both.here, url)]
        return replace(account, left=tuple(left))


async def of_there(both: Pair, load: Load) -> dict[str, str]:
    """The jobs in the hand of the host behind the link."""
    pid = await Victims(both.there).back(WORKER)
    return {job_id: worker for job_id, worker in (await load.in_hand()).items() if f"-{pid}-" in worker}


async def cut_off(seconds: float, both: Pair, load: Load) -> None:
    held, began = await of_there(both, load), time.time()
    both.host.link(up=False)
    await load.recovered(began, held)
    await asyncio.sleep(max(0.0, began + seconds - time.time()))
    both.host.link(up=True)


async def killed(both: Pair, load: Load) -> None:
    held = await of_there(both, load)
    process = both.there.process
    assert process is not None
    pids = [process.pid, await Victims(both.there).back(WORKER)]
    both.host.link(up=False)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    began = time.time()
    await asyncio.to_thread(both.host.stop, signal.SIGKILL)
    process.wait()
    await load.recovered(began, held)
    both.host.link(up=True)
    await asyncio.to_thread(both.host.start)
    await asyncio.to_thread(both.there.start)


async def ahead(trials: int) -> Account:
    """One host's clock is an hour ahead, and it is killed like that, too."""
    if not LIBRARIES:
        raise CannotRunError("libfaketime is not installed (Debian's package libfaketime)")
    env = {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME": AHEAD, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return await tried(killed, trials, env)


ROW = Row(
    13,
    "Two hosts",
    (
        Case(
            "cut",
            "the link of a host to the queue cut for 60 s",
            partial(tried, partial(cut_off, SHORT_SECONDS)),
            3,
            0,
            LIMIT_SECONDS,
        ),
        Case(
            "long-cut",
            "the link cut for 10 minutes",
            partial(tried, partial(cut_off, LONG_SECONDS)),
            1,
            0,
            LIMIT_SECONDS,
        ),
        Case(
            "kill",
            "a host killed with its engine, and started again",
            partial(tried, killed),
            5,
            0,
            LIMIT_SECONDS,
        ),
        Case("clocks", "the same while that host's clock is an hour ahead", ahead, 3, 0, LIMIT_SECONDS),
    ),
)
