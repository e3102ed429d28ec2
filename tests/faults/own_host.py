"""A host of its own on this machine: a network namespace with an engine, and a link that can be cut.

Its engine has its own data, sockets and process id, so that the machine's own is not touched.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.faults.account import CannotRunError
from tests.faults.ground import counting_daemon

IMAGE = "spacedock/space-counting"
HERE, THERE = "10.253.77.1", "10.253.77.2"
START_SECONDS = 180.0


class OwnHost:
    """An engine in a network namespace; `within` is the command that enters it.

    Its `data` are on a disk of their own, of size `disk`, where one is given (as `mount` takes it).
    """

    def __init__(self, folder: Path, disk: str = "") -> None:
        self.data, self._disk = folder / "data", disk
        self._folder, self._name = folder, f"sdf{secrets.token_hex(3)}"
        self.docker_host = f"unix://{folder}/d.sock"
        self.within = ("nsenter", f"--net=/run/netns/{self._name}")
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Make the namespace, with a link to this machine, and the disk."""
        self.data.mkdir()
        if self._disk:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={self._disk}", "tmpfs", str(self.data)]
            subprocess.run(mount, check=True)
        ends = f"{self._name}a", f"{self._name}b"
        _ip("netns", "add", self._name)
        _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", self._name)
        _ip("addr", "add", f"{HERE}/30", "dev", ends[0])
        _ip("link", "set", ends[0], "up")
        _ip("-n", self._name, "addr", "add", f"{THERE}/30", "dev", ends[1])
        for link in ("lo", ends[1]):
            _ip("-n", self._name, "link", "set", link, "up")

    def link(self, *, up: bool) -> None:
        """Cut the link, or join it again: what is sent meanwhile is not answered."""
        _ip("link", "set", f"{self._name}a", "up" if up else "down")

    def start(self) -> None:
        """Start the engine, again where it gives up, and return when it answers."""
        command = [*self.within, "setpriv", "--pdeathsig", "TERM", "dockerd", "-H", self.docker_host]
        command += ["--data-root", str(self.data), "--exec-root", f"{self._folder}/exec"]
        command += ["--insecure-registry", f"{HERE}/32"]
        command += ["-p", f"{self._folder}/pid", "--bridge", "none"]
        command += ["--containerd-namespace", self._name, "--containerd-plugins-namespace", f"{self._name}-p"]
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                # On a busy machine its containerd may be too late for it.
                with (self._folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(command, stderr=log, start_new_session=True)
            assert time.monotonic() < end, (self._folder / "log").read_text()[-2000:]
            # It has no way of telling that it answers.
            time.sleep(0.1)

    def tell(self, signum: int) -> None:
        """Send the engine a signal."""
        assert self._process is not None
        self._process.send_signal(signum)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End the engine; twice is safe."""
        if self._process is not None:
            self.tell(signal.SIGCONT)
            self.tell(signum)
            self._process.wait()
            self._process = None
            (self._folder / "pid").unlink(missing_ok=True)

    def close(self) -> None:
        """Take all away again."""
        self.stop()
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            # What keeps containers outlives an engine that was killed.
            with suppress(OSError):
                if str(self._folder).encode() in process.read_bytes():
                    os.kill(int(process.parent.name), signal.SIGKILL)
        for line in Path("/proc/mounts").read_text().splitlines():
            if str(self._folder) in (at := line.split()[1]):
                subprocess.run(["umount", "--lazy", at], capture_output=True, check=False)
        _ip("netns", "del", self._name)
        subprocess.run(["ip", "link", "del", f"{self._name}a"], capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def take(self, image: str) -> None:
        """Copy an image of the machine's engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            load = ["docker", "-H", self.docker_host, "load", "--quiet"]
            subprocess.run(load, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)

    def _answers(self) -> bool:
        asked = ["docker", "-H", self.docker_host, "version"]
        return subprocess.run(asked, capture_output=True, check=False, timeout=20).returncode == 0


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@asynccontextmanager
async def own_host(disk: str = "") -> AsyncIterator[tuple[OwnHost, str]]:
    """A host whose engine runs and has the counting Space's image, and the image's name."""
    if os.geteuid() != 0 or any(shutil.which(name) is None for name in ("dockerd", "ip", "nsenter")):
        raise CannotRunError("an engine of its own takes root, dockerd, ip and nsenter")
    image = await built()
    # A short path: sockets lie in it.
    host = OwnHost(Path(tempfile.mkdtemp(prefix="sd-")), disk)
    try:
        await asyncio.to_thread(host.open)
        await asyncio.to_thread(host.start)
        await asyncio.to_thread(host.take, image)
        yield host, image
    finally:
        await asyncio.to_thread(host.close)


async def built() -> str:
    """The name of the counting Space's image on the machine's engine, built where it is not there."""
    async with counting_daemon() as daemon:
        used = daemon.docker("ps", "--all", "--filter", daemon.owned, "--format", "{{.Image}}")
        return next(name for name in used if name.startswith(IMAGE))
