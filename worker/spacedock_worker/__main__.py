"""The worker's process: settings on standard input, jobs until SIGTERM or until its daemon is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from spacedock_worker.logs import configure
from spacedock_worker.service import Stop, serve
from spacedock_worker.settings import WorkerSettings

READY_LINE = "ready"


async def run(settings: WorkerSettings) -> None:
    """Serve until a signal asks to stop, or standard input ends because the daemon died."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        parent = tasks.create_task(_until_end(stdin, stop))
        await serve(settings, stop, ready=_say_ready)
        parent.cancel()


def _first_line() -> bytes:
    """The settings, read byte by byte: what follows them belongs to the event loop, not to a buffer here."""
    line = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    return bytes(line)


def _say_ready() -> None:
    sys.stdout.write(READY_LINE + "\n")
    sys.stdout.flush()


async def _until_end(stdin: asyncio.StreamReader, stop: Stop) -> None:
    while await stdin.read(4096):
        pass
    stop.orphan()


def main() -> None:
    """Read the settings, one line of JSON, and serve."""
    settings = WorkerSettings.model_validate_json(_first_line())
    configure(settings.log_format, settings.log_level)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
