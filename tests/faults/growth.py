"""What a daemon takes while jobs come without a pause, and what of it grows without an end."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.acceptance.running import Daemon
from tests.faults.load import FILE, KINDS, USERS

from spacedock._wire.connection import connect

SAMPLE_SECONDS = 10.0
MB = 2**20
FILES_SHARE, ALLOCATED_KB = KINDS.count(FILE) / len(KINDS), 80
"""Valkey takes 80 KB for a file of 64 KB: the next size that its memory is given out in."""


def memory(daemon: Daemon) -> dict[str, int]:
    """The resident bytes of each process of the daemon."""
    return {name: int(read(pid, "statm").split()[1]) * 4096 for name, pid in processes(daemon).items()}


def processes(daemon: Daemon) -> dict[str, int]:
    """The pids of the daemon, and of its children that were started last."""
    assert daemon.process is not None
    found = {"daemon": daemon.process.pid}
    for event in daemon.events:
        if event["event"] in ("worker.started", "valkey.started"):
            found[event["event"].removesuffix(".started")] = event["pid"]
    return found


def read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


Sample = tuple[int, dict[str, float]]
"""How many jobs have ended, and what is taken then."""


@asynccontextmanager
async def sampled(daemon: Daemon, ended: Callable[[], int]) -> AsyncIterator[list[Sample]]:
    """What the daemon takes, looked at again and again."""
    samples: list[Sample] = []

    async def look() -> None:
        async with connect(daemon.url) as redis:
            while True:
                taken: dict[str, float] = {f"MB of the {n}": size / MB for n, size in memory(daemon).items()}
                for name, pid in processes(daemon).items():
                    taken |= {f"{kind} of the {name}": count for kind, count in open_files(pid).items()}
                taken["containers"] = len(daemon.containers())
                taken["MB in the state directory"] = await asyncio.to_thread(disk, daemon.folder / "state")
                taken["keys that never expire"] = await lasting(redis)
                samples.append((ended(), taken))
                await asyncio.sleep(SAMPLE_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield samples
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def lasting(redis) -> int:
    keyspace = (await redis.info("keyspace")).get("db0", {"keys": 0, "expires": 0})
    return keyspace["keys"] - keyspace["expires"]


def disk(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / MB


def open_files(pid: int) -> Mapping[str, int]:
    """How many descriptors a process has of connections, and of all else."""
    found = Counter[str]()
    for place in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found["connections" if str(place.readlink()).startswith("socket:") else "files"] += 1
    return {kind: found[kind] for kind in ("connections", "files")}


KEPT = {"MB of the valkey", "MB in the state directory"}
"""The queue's server keeps what jobs were given and answered for a day, in memory and on disk."""

KEPT_KB = FILES_SHARE * 2 * ALLOCATED_KB + 16
"""For each job: its share of the files, given and answered, and what is kept of any job."""


def most_grown(name: str) -> float:
    """What may be more in the last quarter of a soak than in the second.

    A pool keeps as many connections as were ever used at once: each user's job may use another two.
    """
    if name.startswith("connections"):
        return 2.0 * USERS
    return 16.0 if name.startswith("MB of") else 2.0


def slopes(samples: Sequence[Sample]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What each figure was after a quarter and at the end, in words; and what grew without an end."""
    quarter = max(len(samples) // 4, 1)
    parts = samples[quarter : 2 * quarter] or samples[:1], samples[-quarter:]
    jobs = [statistics.median(ended for ended, _ in part) for part in parts]
    notes, wrong = [f"between a quarter and the end: {jobs[1] - jobs[0]:,.0f} jobs"], list[str]()
    for name in samples[0][1]:
        first, last = (statistics.median(taken[name] for _, taken in part) for part in parts)
        said = f"{name}: {first:.1f} after a quarter, {last:.1f} at the end"
        grown, most = last - first, most_grown(name)
        if name in KEPT:
            grown, most = 1024 * grown / max(jobs[1] - jobs[0], 1), KEPT_KB
            said += f", {grown:.0f} KB for each job (at most {most:.0f})"
        notes.append(said)
        if grown > most:
            wrong.append(said)
    return tuple(notes), tuple(wrong)
