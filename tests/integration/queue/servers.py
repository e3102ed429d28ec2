"""A Valkey or Redis server that a test may stop, start and pause as it likes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

START_SECONDS = 60.0


class Server:
    """One server with an append-only file, on a unix socket in `folder`; `options` are its own."""

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        self._binary, self._folder, self._options = binary, folder, options
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        """Start, and return when it answers."""
        command = [self._binary, "--port", "0", "--unixsocket", self._socket, "--dir", self._folder]
        command += ["--save", "", "--appendonly", "yes", "--loglevel", "warning", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < end, "the server did not start"
            # It is still opening its socket or loading its file, and has no way of telling that it has.
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Shut down in an orderly way; twice is safe."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def user(self, name: str, *rules: str) -> str:
        """The address for a user with the password `secret` and just these rights."""
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            client.execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", *rules)
        return f"unix://{name}:secret@{self._socket}"

    def files(self) -> list[Path]:
        """The files in which it keeps its keys."""
        return [path for path in (self._folder / "appendonlydir").iterdir() if path.is_file()]

    def empty(self) -> None:
        """Forget all keys."""
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            client.flushall()

    def renew(self) -> None:
        """Start with an empty file: a restart reads all that was ever written to it."""
        self.stop()
        shutil.rmtree(self._folder / "appendonlydir")
        self.start()

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self._socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
