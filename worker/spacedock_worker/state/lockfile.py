"""One worker at a time on one state directory."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from spacedock.errors import SpacedockError

log = structlog.get_logger()

WAIT_SECONDS = 50.0
_PAUSE_SECONDS = 0.1


class AnotherWorkerError(SpacedockError):
    """Another worker uses the state directory, and does not end."""


@asynccontextmanager
async def alone(path: Path) -> AsyncIterator[None]:
    """Hold the lock file; wait for a worker whose daemon was killed, and which is just ending.

    Both would take each other's containers for leftovers. Raises AnotherWorkerError after 50 s.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        await _locked(file.fileno(), path)
        yield


async def _locked(descriptor: int, path: Path) -> None:
    waited = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if waited == 0.0:
                log.info("worker.waits_for_another", lock=str(path))
        if waited > WAIT_SECONDS:
            raise AnotherWorkerError(f"another worker uses {path.parent} and does not end; stop it first")
        await asyncio.sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
