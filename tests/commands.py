"""Runs `spacedock` commands: each a process of its own, forked from one that has imported what they need.

The imports are most of what a command takes, and the tests run hundreds. Exit codes, streams and signals are
those of real processes; that the installed command starts by itself is seen where tests start it themselves.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NoReturn

BIN = Path(sys.executable).parent
# The SDK of MCP takes as long to import as all the rest, and one command needs it.
NOT_SHARED = ("spacedock.mcp", "spacedock.cli.commands.mcp", "spacedock.testing")


def run_command(
    arguments: Sequence[str], env: Mapping[str, str], stdin: str, limit: float, folder: Path | None = None
) -> tuple[int, str, str]:
    """The exit code of `spacedock ARGUMENTS`, run in the folder, and what it wrote.

    Raises TimeoutExpired after `limit` seconds, when it has killed the command.
    """
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        request = {"arguments": arguments, "env": dict(env), "folder": str(folder or Path.cwd())}
        code = _asked(json.dumps(request).encode(), (given, out, err), limit)
        return code, _written(out), _written(err)


def _asked(request: bytes, streams: Sequence[BinaryIO], limit: float) -> int:
    mine, theirs = socket.socketpair()
    with mine, mine.makefile("r") as answers:
        with theirs:
            socket.send_fds(_server(), [b"+"], [theirs.fileno(), *(stream.fileno() for stream in streams)])
        mine.sendall(request)
        mine.shutdown(socket.SHUT_WR)
        pid = int(answers.readline())
        mine.settimeout(limit)
        try:
            return int(answers.readline())
        except BaseException as error:
            os.kill(pid, signal.SIGKILL)
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired("spacedock", limit) from error
            raise


def _written(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode()


@cache
def _server() -> socket.socket:
    """The way to the process that forks, which ends with this one."""
    mine, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-P", __file__, str(theirs.fileno())]
        # A person who interrupts the tests interrupts them, and not this.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        mine.close()
        process.wait()

    atexit.register(end)
    return mine


def serve(asking: socket.socket) -> None:
    """Fork for each command that is asked for, until nobody can ask any more."""
    for module in pkgutil.walk_packages(import_module("spacedock").__path__, "spacedock."):
        if not module.name.startswith(NOT_SHARED):
            import_module(module.name)
    # What all have in common stays shared memory.
    gc.freeze()
    # Who waits for a command ends unheard.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        _, descriptors, _, _ = socket.recv_fds(asking, 1, 4)
        if not descriptors:
            return
        if os.fork() == 0:
            asking.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _keep(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(asked: int, *streams: int) -> None:
    """Start the command, and tell its process id and its exit code."""
    with socket.socket(fileno=asked) as channel, channel.makefile("r") as lines:
        request = json.loads(lines.read())
        if (pid := os.fork()) == 0:
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            channel.close()
            become(**request)
        channel.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):
            channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def become(arguments: list[str], env: dict[str, str], folder: str) -> NoReturn:
    """Go on as the command."""
    from spacedock.cli import main

    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = [str(BIN / "spacedock"), *arguments]
    sys.exit(main())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
