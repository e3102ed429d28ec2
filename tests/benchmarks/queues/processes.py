"""The processes of a benchmark: a server, workers and clients of one queue."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.queues.rooms import ROOT, command
from tests.integration.queue.servers import Server

from spacedockd.valkey import server_binary


@contextmanager
def served() -> Iterator[str]:
    """The address of a Valkey as the daemon runs it."""
    # Not in a long path: a unix socket's is short.
    with tempfile.TemporaryDirectory(prefix="sd-") as folder:
        server = Server(server_binary(), Path(folder))
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


class Asked:
    """A worker or a client that answers with lines of JSON."""

    def __init__(self, queue: str, *arguments: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            command(queue, *arguments),
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = self._process.pid

    def answer(self) -> Any:
        """The next line."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, what: str, number: int) -> Any:
        """The answer to a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {number}\n")
        self._process.stdin.flush()
        return self.answer()

    def kill(self) -> None:
        """End it by kill -9; twice is safe."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def running(queue: str, *arguments: str, **environment: str) -> Iterator[Asked]:
    """A process that is killed at the end of the block."""
    asked = Asked(queue, *arguments, **environment)
    try:
        yield asked
    finally:
        asked.kill()
