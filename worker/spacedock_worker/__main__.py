"""The worker's process: settings on standard input, jobs until SIGTERM or until its daemon is gone."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from spacedock_worker import light_imports

with light_imports():
    from spacedock_worker.background import AT_ONCE, DRAIN, Stop
    from spacedock_worker.logs import configure
    from spacedock_worker.service import serve
    from spacedock_worker.settings import WorkerSettings
    from spacedock_worker.witness import Conditions

BEAT_SECONDS = 1.0


async def run(settings: WorkerSettings, daemon: int) -> None:
    """Serve until a signal asks to stop, or standard input ends because the daemon died.

    `daemon` is the pipe on which the daemon hears that the loop answers.
    """
    stop = Stop()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(DRAIN, stop.ask)
    loop.add_signal_handler(AT_ONCE, stop.at_once)
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        told = Conditions()
        beating = tasks.create_task(_beat(daemon, ready, told))
        beside = [tasks.create_task(_until_end(stdin, stop)), beating]
        await serve(settings, stop, ready.set, told)
        for task in beside:
            task.cancel()


def _first_line() -> bytes:
    """The settings, read byte by byte: what follows them belongs to the event loop, not to a buffer here."""
    line = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


def _daemon() -> int:
    """Standard output, taken for what the daemon hears; what else is printed goes to the log from now on."""
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # A daemon that reads no more must not hold the loop up.
    os.set_blocking(pipe, False)
    return pipe


async def _beat(daemon: int, ready: asyncio.Event, told: Conditions) -> None:
    """Say that the worker takes jobs, and then again and again that its loop answers, and how it stands."""
    await ready.wait()
    while True:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(daemon, told.now.as_line())
        await asyncio.sleep(BEAT_SECONDS)


async def _until_end(stdin: asyncio.StreamReader, stop: Stop) -> None:
    while await stdin.read(4096):
        pass
    stop.at_once()


def main() -> None:
    """Read the settings, one line of JSON, and serve; end where the daemon has none to give."""
    if not (line := _first_line()):
        return
    settings = WorkerSettings.model_validate_json(line)
    configure(settings.log_format, settings.log_level)
    asyncio.run(run(settings, _daemon()))


if __name__ == "__main__":
    main()
