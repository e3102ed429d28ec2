"""Row 1: kill -9 of the worker, the daemon, the queue's server, and all of them, at random moments."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.acceptance.running import Daemon
from tests.faults.account import Account, Case, Row
from tests.faults.ground import calls_of, counting_daemon, stopped
from tests.faults.load import Load

BACK_SECONDS = 60.0
LIMIT_SECONDS = 10.0
WORKER, DAEMON, SERVER, ALL = "worker", "daemon", "valkey", "all"


class Victims:
    """The processes of a daemon, to be killed."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def kill(self, what: str, signum: int = signal.SIGKILL) -> float:
        """Kill the worker, the daemon, the queue's server, or all, and say when (s since 1970).

        A daemon that was killed is started again at once.
        """
        assert self._daemon.process is not None
        if what in (WORKER, SERVER):
            os.kill(await self.back(what), signum)
            return time.time()
        pids = [pid for name in (WORKER, SERVER) if what == ALL and (pid := self._pid(name)) is not None]
        self._daemon.process.send_signal(signum)
        for pid in pids:
            os.kill(pid, signum)
        at = time.time()
        self._daemon.process.wait()
        await asyncio.to_thread(self._daemon.start)
        return at

    async def back(self, what: str) -> int:
        """The process, once it is there: it may just be on its way back."""
        async with asyncio.timeout(BACK_SECONDS):
            while (pid := self._pid(what)) is None:  # noqa: ASYNC110 (a process cannot be waited for)
                await asyncio.sleep(0.05)
            return pid

    def _pid(self, what: str) -> int | None:
        """The process that was started last, if it is there."""
        pids = [event["pid"] for event in self._daemon.events if event["event"] == f"{what}.started"]
        return pids[-1] if pids and _lives(pids[-1]) else None


def _lives(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def killed(what: str, trials: int) -> Account:
    """Kill it again and again under one load."""
    dice = random.Random(trials)
    async with counting_daemon() as daemon:
        victims = Victims(daemon)
        async with Load(daemon.url, partial(calls_of, daemon)) as load:
            for _ in range(trials):
                await load.served()
                await asyncio.sleep(dice.uniform(0.1, 2.0))
                held = await load.in_hand()
                await load.recovered(await victims.kill(what), held, lives=what == SERVER)
            account = await load.stop(trials)
        return replace(account, left=tuple(await stopped(daemon)))


ROW = Row(
    1,
    "Processes that die",
    tuple(
        Case(what, f"kill -9 of {words} at random moments", partial(killed, what), 50, quick, LIMIT_SECONDS)
        for what, words, quick in (
            (WORKER, "the worker", 1),
            (DAEMON, "the daemon (its worker leaves, its Valkey stays)", 0),
            (SERVER, "the queue's server", 1),
            (ALL, "the daemon, its worker and the queue's server at once", 0),
        )
    ),
)
