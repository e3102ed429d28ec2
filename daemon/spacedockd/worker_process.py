"""The worker as the daemon's child: started, watched, charged to a job that holds it, and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock.errors import SpacedockError
from spacedock_worker import witness
from spacedock_worker.background import AT_ONCE, DRAIN, cancel_all
from spacedock_worker.queue.job_store import Blame, JobStore
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.witness import WITNESS
from spacedockd.pulse import Pulse, until_frozen

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

    `pulse` is where its signs of life are noted. When `hurry` is set, it does not wait for the jobs that it
    runs while it stops.
    """

    def __init__(
        self, settings: WorkerSettings, pulse: Pulse | None = None, hurry: asyncio.Event | None = None
    ) -> None:
        self._settings, self.pulse = settings, pulse or Pulse()
        self._hurry = hurry or asyncio.Event()
        self._process: Process | None = None
        self._loading: Process | None = None
        self._charge = Charge(settings.redis_url, settings.state_dir / WITNESS)

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Have the process load its modules already; `start` in the block goes on with it."""
        self._loading = await _launched()
        try:
            yield
        finally:
            if process := self._loading:
                # It was given no settings, so it has nothing to clean up.
                await _kill(process)

    async def start(self) -> None:
        """Start the worker and wait until it takes jobs. Raises WorkerDiedError."""
        process, self._loading = self._loading or await _launched(), None
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
        self.pulse.hear(said)
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
            frozen, code = watching.done() and watching.result(), await waiting
            await self._charge.died(code, frozen=frozen)
            return code
        finally:
            self.pulse.ended()
            await cancel_all(watching, waiting)

    def renew(self, settings: WorkerSettings) -> None:
        """Have it drain and end; whoever keeps it alive starts it again, by these settings."""
        self._settings = settings
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(DRAIN)

    async def stop(self) -> None:
        """Let the worker drain and clean up; kill it when it takes too long. Twice is safe.

        The containers and networks of a worker that did not end in order are removed.
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
            await cancel_all(ending, hurrying)

    async def _watch(self, process: Process) -> bool:
        """Kill the worker when its loop has frozen; return when it has ended: True where it was killed."""
        assert process.stdout is not None
        self._charge = Charge(self._settings.redis_url, self._settings.state_dir / WITNESS)
        frozen = await until_frozen(process.stdout, self._charge.set, self._charge.lift, self.pulse)
        if frozen:
            log.error("worker.frozen", pid=process.pid, job_id=self._charge.job_id)
            await _kill(process)
        return frozen

    async def _remove_containers(self) -> None:
        containers = self._settings.containers
        whose = [containers.instance_id, containers.network_name]
        if containers.docker_host:
            whose.append(containers.docker_host)
        removing = await asyncio.create_subprocess_exec(*REMOVAL, *whose, start_new_session=True)
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                if await removing.wait() == 0:
                    return
        except TimeoutError:
            await _kill(removing)
        log.warning("worker.containers_left", instance=containers.instance_id)


async def _launched() -> Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A session of its own: Ctrl-C in the terminal reaches the daemon, which lets the worker drain.
        start_new_session=True,
    )


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


_CHARGE_SECONDS = 2.0
_KEPT_SECONDS = 24 * 3600


class Charge:
    """One worker's: set while its loop does not answer, lifted where it answers after all.

    Without Redis nothing is charged: the job is only run again.
    """

    def __init__(self, redis_url: str, note: Path) -> None:
        self._url, self._note = redis_url, note
        self._key = ""
        self._before: bytes | None = None
        self.job_id: str | None = None

    async def set(self) -> None:
        """Charge the job that the worker's note names; nobody where it names none."""
        note = witness.read(self._note)
        log.warning("worker.silent", worker=note and note.worker_id, job_id=(note and note.job_id) or None)
        if note is None or not note.job_id:
            return
        self._key, self.job_id = keys.accused(note.worker_id), note.job_id
        self._before = await self._ask(
            lambda redis: redis.set(self._key, note.job_id, ex=_KEPT_SECONDS, get=True)
        )

    async def died(self, code: int, *, frozen: bool) -> None:
        """Have the jobs of the worker, which ended with that exit code, wait again, and charge its death.

        The note goes with it: the next worker has nothing to add. One that ended in order has left none.
        """
        if (note := witness.read(self._note)) is None:
            return
        # Somebody killed it, and not the kernel for want of memory: no job of it did that.
        outside = code == -signal.SIGKILL and not note.starved
        blame = Blame.UNKNOWN if frozen else Blame.NONE if outside else Blame.EXECUTED

        async def lapse(redis: Redis) -> None:
            await JobStore(redis, note.worker_id).lapse(note.worker_id, blame)
            self._note.unlink(missing_ok=True)

        await self._ask(lapse)

    async def lift(self) -> None:
        """Put back what was charged before."""
        job_id, self.job_id = self.job_id, None
        log.info("worker.answers_again", job_id=job_id)
        if job_id is None:
            return
        if before := self._before:
            await self._ask(lambda redis: redis.set(self._key, before, ex=_KEPT_SECONDS))
        else:
            await self._ask(lambda redis: redis.delete(self._key))

    async def _ask(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """The answer to a command; None where Redis gives none soon."""
        try:
            async with asyncio.timeout(_CHARGE_SECONDS), connect(self._url) as redis:
                return await command(redis)
        except (TimeoutError, RedisError, OSError) as error:
            log.warning("worker.not_charged", job_id=self.job_id, reason=type(error).__name__)
            return None
