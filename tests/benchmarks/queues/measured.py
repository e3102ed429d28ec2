"""What every queue is asked to do, and how it is timed: runs in each queue's own environment, without ours.

`with_NAME.py work URL COUNT` is a worker; it says when COUNT no-op jobs have run. `with_NAME.py ask URL` is a
client that reads one command a line and answers each with a line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any, Protocol

HANGS, RAN = "hangs", "ran"
"""Files of a job in the folder that HOLD names: it hangs in its first run, and notes when it runs again."""


class Queue(Protocol):
    """One queue: a client and a worker over the same server."""

    async def open(self) -> None:
        """Connect the client."""

    async def round_trip(self) -> None:
        """Submit a no-op job and wait for its result."""

    async def submit(self, count: int) -> None:
        """Submit so many no-op jobs, in the fastest way that the queue has."""

    async def submit_held(self, number: int) -> None:
        """Submit a job that calls `held` with this number."""

    async def work(self, jobs: int | None) -> None:
        """Take jobs until killed, at most so many at once (None: what suits no-op jobs best)."""


class Counter:
    """Counts the no-op jobs of a worker; says how long, and how much CPU time, they took."""

    def __init__(self, count: int) -> None:
        self._left, self._began, self._spent = count, 0.0, 0.0

    def __call__(self) -> None:
        if not self._began:
            self._began, self._spent = perf_counter(), process_time()
        self._left -= 1
        if self._left == 0:
            tell([perf_counter() - self._began, process_time() - self._spent])


ran = Counter(int(sys.argv[3]) if sys.argv[1:2] == ["work"] else 0)
"""The body of the no-op job."""


async def held(number: int) -> None:
    """The body of a job that is in its first run when its worker is killed."""
    folder = Path(os.environ["HOLD"], str(number))
    try:
        folder.mkdir()  # noqa: ASYNC240 (a local folder)
    except FileExistsError:
        with contextlib.suppress(FileExistsError), (folder / RAN).open("x") as file:
            file.write(str(monotonic()))
    else:
        await asyncio.Event().wait()


def tell(value: Any) -> None:
    """Answer with a line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def _answer(queue: Queue, command: str, number: int) -> Any:
    if command == "held":
        for job in range(number):
            await queue.submit_held(job)
        return None
    if command == "submit":
        began = perf_counter()
        await queue.submit(number)
        return perf_counter() - began
    seconds = []
    for _ in range(number):
        began = perf_counter()
        await queue.round_trip()
        seconds.append(perf_counter() - began)
    return seconds


async def _ask(queue: Queue) -> None:
    await queue.open()
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, number = line.split()
        tell(await _answer(queue, command, int(number)))


def run(queue: Queue) -> None:
    """Be what the command line says."""
    if sys.argv[1] == "work":
        asyncio.run(queue.work(int(sys.argv[4]) if sys.argv[4:] else None))
    else:
        asyncio.run(_ask(queue))
