"""The worker as the daemon's child: started, watched, and stopped with time to drain."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import SecretStr

from spacedock.errors import SpacedockError
from spacedock_worker.settings import WorkerSettings

log = structlog.get_logger()

START_SECONDS = 60.0
CLEANUP_SECONDS = 45.0
"""How long a drained worker may take to give jobs back and to remove its containers."""


class WorkerDiedError(SpacedockError):
    """The worker ended before it could take jobs."""


class WorkerProcess:
    """One worker. Its settings go over standard input, which also tells it when the daemon is gone."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the worker and wait until it takes jobs. Raises WorkerDiedError."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "spacedock_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A session of its own: Ctrl-C in the terminal reaches the daemon, which lets the worker drain.
            start_new_session=True,
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                process.stdin.write(as_line(self._settings))
                await process.stdin.drain()
                said = await process.stdout.readline()
        except (TimeoutError, ConnectionError) as error:
            await self.stop()
            raise WorkerDiedError(f"the worker did not start: {error or 'no sign of life'}") from error
        if not said:
            code = await process.wait()
            raise WorkerDiedError(f"the worker ended at its start (exit code {code}); its log is above")
        log.info("worker.started", pid=process.pid)

    async def ended(self) -> int:
        """Return the exit code when the worker has ended; negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Let the worker drain and clean up; kill it when it takes too long. Twice is safe."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._settings.drain_seconds + CLEANUP_SECONDS):
                await process.wait()
        except TimeoutError:
            log.warning("worker.killed", pid=process.pid)
            process.kill()
            await process.wait()


def as_line(settings: WorkerSettings) -> bytes:
    """The settings as one line of JSON, secrets in the clear: it goes through a pipe, never to a log."""
    return json.dumps(settings.model_dump(), default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a worker's settings")
