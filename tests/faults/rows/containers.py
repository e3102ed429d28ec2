"""Row 5: containers that fail, each in its own way: their jobs are told why, and others notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import yaml
from tests.acceptance.running import SPACES
from tests.faults.account import Account, Case, Row
from tests.faults.ground import calls_of, daemon_to_start, stopped, warmed
from tests.faults.load import Load

from spacedock import Client
from spacedock.result import ErrorKind, JobResult

TRIALS = 5
SMALL, DISK = 96 * 2**20, 256 * 2**20
WAIT_SECONDS, HANG_SECONDS = 120.0, 5.0
NAME = "faulty"


async def failing(fault: str, kinds: frozenset[ErrorKind], entry: Mapping[str, Any], trials: int) -> Account:
    """Ask a Space with that fault so often, while another one serves its users.

    Each of its jobs ends with one of these kinds of error; without any it succeeds.
    """
    async with daemon_to_start(containers__max_containers="2", containers__disk=str(DISK)) as daemon:
        path = daemon.folder / "registry.yaml"
        document = yaml.safe_load(path.read_text())
        faulty = {"id": NAME, "repository": str(SPACES / NAME), "env": {"FAULT": fault}, **entry}
        document["spaces"][NAME] = faulty
        path.write_text(yaml.safe_dump(document))
        await asyncio.to_thread(daemon.start)
        await warmed(daemon.url)
        asked = {
            "space": NAME,
            "fallback": "none",
            "timeout": HANG_SECONDS if fault == "hang" else WAIT_SECONDS,
        }
        results = []
        async with Load(daemon.url, partial(calls_of, daemon), users=2) as load, Client(daemon.url) as client:
            for number in range(trials):
                job_id = await client.submit(f"say {number}", **asked)
                results.append(await client.result(job_id, wait=WAIT_SECONDS))
            account = await load.stop(trials)
        left = tuple(await stopped(daemon))
    wrong = [why for result in results if (why := _unexpected(result, kinds))]
    return replace(
        account,
        acknowledged=account.acknowledged + trials,
        failed=account.failed + len(wrong),
        wrong=(*account.wrong, *wrong),
        left=left,
    )


def _unexpected(result: JobResult, kinds: frozenset[ErrorKind]) -> str:
    """What is wrong with how the job ended; "" where nothing is."""
    kind = result.error.kind if result.error is not None else None
    if kind in kinds or (kind is None and not kinds):
        return ""
    return f"{result.id}: ended with {result.error} instead of {', '.join(sorted(kinds)) or 'its answer'}"


def _case(fault: str, what: str, *kinds: ErrorKind, **entry: Any) -> Case:
    return Case(fault, what, partial(failing, fault, frozenset(kinds), entry), TRIALS)


ROW = Row(
    5,
    "Containers that fail",
    (
        _case(
            "memory",
            "out of memory in the call",
            ErrorKind.OUT_OF_MEMORY,
            ErrorKind.QUARANTINED,
            memory=SMALL,
        ),
        _case("crash", "exit 3 at the start", ErrorKind.CRASHED, ErrorKind.QUARANTINED),
        _case("exit", "exit 0 at once", ErrorKind.CRASHED, ErrorKind.QUARANTINED),
        _case("die", "death in the middle of the call", ErrorKind.CRASHED, ErrorKind.QUARANTINED),
        _case("never", "never ready", ErrorKind.START_TIMEOUT, ErrorKind.QUARANTINED, start_timeout=5.0),
        _case("hang", "no answer to the call", ErrorKind.TIMEOUT, ErrorKind.QUARANTINED),
        _case("disk", "its disk filled in the call", ErrorKind.OUT_OF_DISK, ErrorKind.QUARANTINED),
        _case("garbage", "65,536 random bytes for an answer", ErrorKind.BAD_OUTPUT, ErrorKind.QUARANTINED),
        _case("clock", "a clock an hour ahead in its answers"),
    ),
)
