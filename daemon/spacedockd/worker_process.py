"""The worker as the daemon's child: started, watched, and stopped with time to drain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import SecretStr

from spacedock.errors import SpacedockError
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.stop import AT_ONCE, DRAIN
from spacedock_worker.witness import WITNESS
from spacedockd.charge import Charge
from spacedockd.heartbeat import PATIENCE, Patience, until_frozen

log = structlog.get_logger()

COMMAND = (sys.executable, "-m", "spacedock_worker")
REMOVAL = (sys.executable, "-m", "spacedock_worker.containers.removal")
START_SECONDS = 60.0
CLEANUP_SECONDS = 45.0
"""How long a drained worker may take to give jobs back and to remove its containers."""

REMOVE_SECONDS = 20.0
"""How long the containers of a killed worker may take to be removed."""


class WorkerDiedError(SpacedockError):
    """The worker ended before it could take jobs."""


class WorkerProcess:
    """One worker. Its settings go over standard input, which also tells it when the daemon is gone.

    When `hurry` is set, it does not wait for the jobs that it runs while it stops.
    """

    def __init__(
        self, settings: WorkerSettings, patience: Patience = PATIENCE, hurry: asyncio.Event | None = None
    ) -> None:
        self._settings, self._patience = settings, patience
        self._hurry = hurry or asyncio.Event()
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the worker and wait until it takes jobs. Raises WorkerDiedError."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
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
        """Return the exit code when the worker has ended; negative for a signal.

        One whose loop answers no more is killed, and the job that holds the loop is charged with it.
        """
        assert self._process is not None
        process = self._process
        watching = asyncio.create_task(self._watch(process))
        waiting = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({watching, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return await waiting
        finally:
            for task in (watching, waiting):
                task.cancel()
            await asyncio.gather(watching, waiting, return_exceptions=True)

    async def stop(self) -> None:
        """Let the worker drain and clean up; kill it when it takes too long. Twice is safe.

        The containers of a worker that did not end in order are removed.
        """
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            await self._drained(process)
        if process.returncode != 0:
            await self._remove_containers()

    async def _drained(self, process: Process) -> None:
        """Have it end in order, at once where there is a hurry; kill it when its time is over."""
        ending, hurrying = asyncio.create_task(process.wait()), asyncio.create_task(self._hurry.wait())
        try:
            with suppress(ProcessLookupError):
                process.send_signal(DRAIN)
            most = self._settings.drain_seconds + CLEANUP_SECONDS
            await asyncio.wait({ending, hurrying}, timeout=most, return_when=asyncio.FIRST_COMPLETED)
            if hurrying.done() and not ending.done():
                with suppress(ProcessLookupError):
                    process.send_signal(AT_ONCE)
                await asyncio.wait({ending}, timeout=CLEANUP_SECONDS)
            if not ending.done():
                log.warning("worker.killed", pid=process.pid)
                await _kill(process)
        finally:
            for task in (ending, hurrying):
                task.cancel()
            await asyncio.gather(ending, hurrying, return_exceptions=True)

    async def _watch(self, process: Process) -> None:
        """Kill the worker when its loop has frozen; return when it has ended."""
        assert process.stdout is not None
        charge = Charge(self._settings.redis_url, self._settings.state_dir / WITNESS)
        if await until_frozen(process.stdout, charge.set, charge.lift, self._patience):
            log.error("worker.frozen", pid=process.pid, job_id=charge.job_id)
            await _kill(process)

    async def _remove_containers(self) -> None:
        containers = self._settings.containers
        whose = [containers.instance_id, *([containers.docker_host] if containers.docker_host else [])]
        removing = await asyncio.create_subprocess_exec(*REMOVAL, *whose, start_new_session=True)
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                if await removing.wait() == 0:
                    return
        except TimeoutError:
            await _kill(removing)
        log.warning("worker.containers_left", instance=containers.instance_id)


async def _kill(process: Process) -> None:
    """Kill the process, and what it has started in its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
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
