"""Row 3: the queue's server away, loading, full, slow, cut in the middle of an answer, and failed over."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from redis.exceptions import ResponseError
from tests.acceptance.running import Daemon
from tests.faults.account import Account, Case, Row
from tests.faults.ground import calls_of, counting_daemon, stopped
from tests.faults.load import FILE, TEXT, Load
from tests.faults.rows.processes import LIMIT_SECONDS, SERVER, Victims
from tests.integration.queue.sentinels import Watched, agreed, replicated
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import until
from tests.proxy import Proxy, unix_proxy

from spacedock._wire.connection import connect
from spacedockd.valkey import server_binary

AWAY_SECONDS = 60.0
LATE_SECONDS = 0.5
BUSY_SECONDS = 5.0
FULL_SECONDS = 15.0
PADDING = b"*2\r\n$4\r\nINCR\r\n$7\r\npadding\r\n"
PADDED_BYTES = 600_000_000
FILE_BYTES = 2**19


@dataclass(frozen=True, slots=True)
class Queue:
    """A server of our own, the proxy before it, and the load of a daemon that reaches it through that."""

    server: Server
    proxy: Proxy
    load: Load
    trials: int

    async def disturbed(self, fault: Callable[[], Awaitable[None]]) -> None:
        """Let it work, disturb it, and wait until it works again."""
        await asyncio.sleep(BUSY_SECONDS)
        held = await self.load.in_hand()
        await fault()
        await self.load.recovered(time.time(), held, lives=True)


Disturb = Callable[[Queue], Awaitable[None]]


@asynccontextmanager
async def own_server() -> AsyncIterator[tuple[Server, Path]]:
    """A server with an append-only file, and the folder with all that is its."""
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    # What was appended to its file is not written anew before it has been read.
    server = Server(server_binary(), folder, "--auto-aof-rewrite-percentage", "0")
    server.start()
    try:
        yield server, folder
    finally:
        server.resume()
        server.stop()
        shutil.rmtree(folder)


async def tried(disturb: Disturb, trials: int) -> Account:
    """Disturb the queue so often under one load of texts and files."""
    async with (
        own_server() as (server, folder),
        unix_proxy(folder / "redis.sock", folder / "proxy.sock") as proxy,
    ):
        url = f"unix://{folder}/proxy.sock"
        async with counting_daemon(redis_url=url) as daemon:
            return await accounted(
                daemon, url, trials, lambda load: disturb(Queue(server, proxy, load, trials))
            )


async def accounted(
    daemon: Daemon, url: str, trials: int, disturbed: Callable[[Load], Awaitable[None]]
) -> Account:
    """What came of the load while it was disturbed."""
    calls = partial(calls_of, daemon)
    async with Load(url, calls, kinds=(TEXT, FILE), size=FILE_BYTES) as load:
        await disturbed(load)
        await asyncio.sleep(BUSY_SECONDS)
        account = await load.stop(trials)
    return replace(account, left=tuple(await stopped(daemon, url)))


async def away(queue: Queue) -> None:
    async def gone() -> None:
        queue.server.stop()
        await asyncio.sleep(AWAY_SECONDS)
        queue.server.start()

    for _ in range(queue.trials):
        await queue.disturbed(gone)


async def full(queue: Queue) -> None:
    async def filled() -> None:
        async with connect(queue.server.url) as redis:
            used = (await redis.info("memory"))["used_memory"]
            await redis.config_set("maxmemory", used + FILE_BYTES)
            await asyncio.sleep(FULL_SECONDS)
            await redis.config_set("maxmemory", 0)

    for _ in range(queue.trials):
        await queue.disturbed(filled)


async def slow(queue: Queue) -> None:
    queue.proxy.late = LATE_SECONDS
    await asyncio.sleep(queue.trials * 30)
    queue.proxy.late = 0.0


async def cut(queue: Queue) -> None:
    async def halve() -> None:
        queue.proxy.halved = 3
        while queue.proxy.halved > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    for _ in range(queue.trials):
        await queue.disturbed(halve)


async def loaded(trials: int) -> Account:
    """Kill the daemon's own server with a long append-only file, which it has to read before it answers.

    What it takes to read it is the server's own, and told apart.
    """
    readings: list[float] = []

    async def long_file(daemon: Daemon, load: Load) -> None:
        for _ in range(trials):
            await asyncio.sleep(BUSY_SECONDS)
            held = await load.in_hand()
            pid = await Victims(daemon).back(SERVER)
            await asyncio.to_thread(_kill_and_pad, pid, daemon.folder / "state/valkey")
            # The client of the load is answered again when all has been read.
            await load.recovered(time.time(), held, lives=True)
            readings.append(_last_reading(daemon.folder / "state/valkey/valkey.log"))
            load.recovery[-1] -= readings[-1]
            async with connect(daemon.url) as redis:
                with suppress(ResponseError):
                    # It may do so by itself.
                    await redis.bgrewriteaof()

    async with counting_daemon() as daemon:
        account = await accounted(daemon, daemon.url, trials, partial(long_file, daemon))
    median, worst = statistics.median(readings), max(readings)
    told = (
        f"the server's reading of its file before that: {median:.1f} s at the median, {worst:.1f} s at most"
    )
    return replace(account, notes=(told,))


def _last_reading(log: Path) -> float:
    """How many seconds the server took to read its file, as it says in its log."""
    return float(re.findall(r"DB loaded from append only file: ([\d.]+) seconds", log.read_text())[-1])


def _kill_and_pad(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGSTOP)
    [file] = folder.glob("appendonlydir/*.incr.aof")
    with file.open("ab") as appended:
        for _ in range(PADDED_BYTES // (len(PADDING) * 100_000)):
            appended.write(PADDING * 100_000)
    os.kill(pid, signal.SIGKILL)


async def failed_over(trials: int) -> Account:
    """Kill a master under load; its replica takes its place, and the dead one comes back as a replica."""
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    watched = Watched(server_binary(), folder)
    try:
        watched.start()
        await until(lambda: agreed(watched), 30)

        async def killed(load: Load) -> None:
            master, replica = "master", "replica"
            for _ in range(trials):
                await asyncio.sleep(BUSY_SECONDS)
                held = await load.in_hand()
                watched.kill(master)
                await load.recovered(time.time(), held, lives=True)
                watched.start_server(master)
                master, replica = replica, master
                await until(lambda: replicated(watched, master, replica), 60)  # noqa: B023
                await asyncio.sleep(BUSY_SECONDS)

        async with counting_daemon(redis_url=watched.url) as daemon:
            return await accounted(daemon, watched.url, trials, killed)
    finally:
        watched.stop()
        shutil.rmtree(folder)


ROW = Row(
    3,
    "The queue's server",
    (
        Case("away", f"away for {AWAY_SECONDS:.0f} s", partial(tried, away), 3),
        Case(
            "loading",
            "killed, and started with 600 MB more in its append-only file; recovery from the kill, without "
            "the server's reading of it",
            loaded,
            1,
            limit=LIMIT_SECONDS,
        ),
        Case("full", f"full for {FULL_SECONDS:.0f} s: it refuses to store more", partial(tried, full), 5),
        Case("slow", "each answer half a second late, for half a minute", partial(tried, slow), 3),
        Case("cut", "three connections cut in the middle of an answer", partial(tried, cut), 20, 1),
        Case("failover", "the master killed, its replica in its place by three Sentinels", failed_over, 3),
    ),
)
