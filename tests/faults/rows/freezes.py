"""Row 2: the worker and the daemon stopped for 30 s, and a loop that a callback blocks for 30 s."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from tests.acceptance.running import Daemon
from tests.faults.account import Account, Case, Row
from tests.faults.ground import calls_of, counting_daemon, stopped
from tests.faults.load import Load
from tests.faults.rows.processes import WORKER, Victims

from spacedockd.pulse import PATIENCE

FROZEN_SECONDS = 30.0
BUSY_SECONDS = 3.0

# The signal's handler runs in the loop's thread, as a callback does.
BLOCKING = f"""
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep({FROZEN_SECONDS}))
"""

Pids = Callable[[Daemon, int], tuple[int, ...]]
"""Which of the daemon's processes freeze, by the daemon and its worker's id."""


async def frozen(pids: Pids, trials: int) -> Account:
    """Stop processes again and again under one load, and let them go on; recovery counts from there."""

    async def stop(daemon: Daemon, worker: int, load: Load, held: Held) -> None:
        _signal(pids(daemon, worker), signal.SIGSTOP)
        await asyncio.sleep(FROZEN_SECONDS)
        _signal(pids(daemon, worker), signal.SIGCONT)
        await load.recovered(time.time(), held, lives=True)

    return await _tried(stop, trials)


async def replaced(signum: int, trials: int) -> Account:
    """Have a worker answer no more, again and again; recovery counts from then, and ends with another one."""

    async def silence(_: Daemon, worker: int, load: Load, held: Held) -> None:
        began = time.time()
        _signal((worker,), signum)
        await load.recovered(began, held)
        await asyncio.sleep(max(0.0, began + FROZEN_SECONDS - time.time()))
        _signal((worker,), signal.SIGCONT)

    account = await _tried(silence, trials)
    said = f"a worker that is silent for {PATIENCE.frozen:g} s is replaced: before that it may just be slow"
    return replace(account, notes=(said,))


Held = dict[str, str]


async def _tried(freeze: Callable[[Daemon, int, Load, Held], Awaitable[None]], trials: int) -> Account:
    async with counting_daemon(BLOCKING) as daemon:
        async with Load(daemon.url, partial(calls_of, daemon)) as load:
            for _ in range(trials):
                await asyncio.sleep(BUSY_SECONDS)
                worker = await Victims(daemon).back(WORKER)
                await freeze(daemon, worker, load, await load.in_hand())
            account = await load.stop(trials)
        return replace(account, left=tuple(await stopped(daemon)))


def _signal(pids: tuple[int, ...], signum: int) -> None:
    for pid in pids:
        # The daemon ends a worker that is frozen.
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def _daemon(daemon: Daemon, _: int) -> tuple[int, ...]:
    assert daemon.process is not None
    return (daemon.process.pid,)


def _both(daemon: Daemon, worker: int) -> tuple[int, ...]:
    return (*_daemon(daemon, worker), worker)


ROW = Row(
    2,
    "Processes that freeze",
    (
        Case(
            "worker",
            "SIGSTOP of the worker for 30 s; recovery from the stop",
            partial(replaced, signal.SIGSTOP),
            5,
        ),
        Case("daemon", "SIGSTOP of the daemon for 30 s", partial(frozen, _daemon), 5),
        Case("both", "SIGSTOP of the daemon and its worker for 30 s", partial(frozen, _both), 5),
        Case(
            "loop",
            "the worker's loop blocked for 30 s by a callback; recovery from its beginning",
            partial(replaced, signal.SIGUSR1),
            5,
        ),
    ),
)
