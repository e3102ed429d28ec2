"""Row 8: a full disk, a clock that jumps, few file descriptors, little memory."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.acceptance.running import Daemon
from tests.faults.account import Account, CannotRunError, Case, Row
from tests.faults.full_engine import built, full_engine, pulled
from tests.faults.ground import calls_of, counting_daemon, stopped
from tests.faults.load import FILE, TEXT, Load
from tests.faults.rows.processes import WORKER, Victims

DISK = "96m"
FULL_SECONDS, CLOCK_SECONDS = 5.0, 5.0
FEW, LITTLE = 64, 256 * 2**20
_GROUPS = Path("/sys/fs/cgroup/memory")
_MOVED = """
import time
_real = time.time
def _moved():
    try:
        with open({path!r}) as file:
            return _real() + float(file.read())
    except (OSError, ValueError):
        return _real()
time.time = _moved
"""


async def full_disk(trials: int) -> Account:
    """The disk of the queue, its files and scratch folders is full for 5 s, again and again."""
    async with counting_daemon() as daemon, small_disk(daemon) as state:
        async with Load(daemon.url, partial(calls_of, daemon), kinds=(TEXT, FILE)) as load:
            for _ in range(trials):
                await asyncio.sleep(1)
                await asyncio.to_thread(fill, state / "ballast")
                await asyncio.sleep(FULL_SECONDS)
                (state / "ballast").unlink()
                await asyncio.sleep(1)
            account = await load.stop(trials)
        return replace(account, left=tuple(await stopped(daemon)))


@asynccontextmanager
async def small_disk(daemon: Daemon) -> AsyncIterator[Path]:
    """The daemon on a small disk of its own."""
    state = daemon.folder / "state"
    await asyncio.to_thread(daemon.stop)
    aside = state.with_name("aside")
    await asyncio.to_thread(shutil.move, state, aside)
    state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(state)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:  # noqa: ASYNC221
        raise CannotRunError("a disk of its own can only be mounted as root")
    try:
        await asyncio.to_thread(shutil.copytree, aside, state, dirs_exist_ok=True)
        await asyncio.to_thread(daemon.start)
        yield state
    finally:
        await asyncio.to_thread(daemon.stop)
        # What removes the daemon looks for its name there.
        await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(state)], check=True)
        (state / "instance-id").write_bytes((aside / "instance-id").read_bytes())


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))


async def moved_clock(trials: int) -> Account:
    """The clock of the daemon and its worker is an hour ahead, right, an hour behind, and right again."""
    path = f"/dev/shm/faults-clock-{os.getpid()}"
    offset = Path(path)
    try:
        async with counting_daemon(_MOVED.format(path=path)) as daemon:
            async with Load(daemon.url, partial(calls_of, daemon)) as load:
                for _ in range(trials):
                    for seconds in (3600, 0, -3600, 0):
                        await asyncio.to_thread(offset.write_text, str(seconds))
                        await asyncio.sleep(CLOCK_SECONDS)
                account = await load.stop(trials)
            return replace(account, left=tuple(await stopped(daemon)))
    finally:
        await asyncio.to_thread(offset.unlink, missing_ok=True)


async def few_descriptors(trials: int) -> Account:
    """The worker may have 64 descriptors while users send texts and files."""

    async def limit(pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))

    return await _limited(trials, limit)


async def little_memory(trials: int) -> Account:
    """The worker has 256 MB of memory, pages of files included."""
    group = _GROUPS / f"faults-{os.getpid()}"

    async def limit(pid: int) -> None:
        try:
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(LITTLE))
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            why = errno.errorcode.get(error.errno or 0, "")
            raise CannotRunError(f"no memory cgroup (v1) can be made here ({why})") from error

    try:
        return await _limited(trials, limit)
    finally:
        with suppress(OSError):
            group.rmdir()


async def _limited(trials: int, limit) -> Account:
    """The load with so many users more for each trial, while the worker is limited."""
    async with counting_daemon() as daemon:
        worker = await Victims(daemon).back(WORKER)
        await limit(worker)
        account = Account(0)
        for _ in range(trials):
            async with Load(daemon.url, partial(calls_of, daemon), users=40, size=2**22) as load:
                await asyncio.sleep(20)
                one = await load.stop(trials)
            account = replace(
                one,
                acknowledged=account.acknowledged + one.acknowledged,
                lost=account.lost + one.lost,
                doubled=account.doubled + one.doubled,
                failed=account.failed + one.failed,
                wrong=(*account.wrong, *one.wrong),
            )
        if await Victims(daemon).back(WORKER) != worker:
            account = replace(account, wrong=(*account.wrong, "the worker died of its limit"))
        return replace(account, left=tuple(await stopped(daemon)))


_ENGINES = "the disk of an engine full for as long as a job waits for room, while"

ROW = Row(
    8,
    "Disk, clock, descriptors, memory",
    (
        Case("disk", "the disk of the queue and its files full for 5 s, texts and files", full_disk, 10),
        Case("pulling", f"{_ENGINES} an image is pulled", partial(full_engine, pulled), 2),
        Case("building", f"{_ENGINES} an image is built", partial(full_engine, built), 2),
        Case("clock", "the clock an hour ahead, right, an hour behind, right", moved_clock, 5),
        Case(
            "descriptors", "64 file descriptors for the worker, 40 users, files of 4 MB", few_descriptors, 3
        ),
        Case("memory", "256 MB of memory for the worker, 40 users, files of 4 MB", little_memory, 3),
    ),
)
