"""What an idle host costs, by `make bench-idle`: memory and CPU with 10,000 jobs queued, and the start.

The host is paused, so that the jobs stay queued. Memory is the sum of what each process has resident (Rss).
The start is timed a second time, when files are in the cache. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.running import Daemon

from spacedock import SyncClient

JOBS = 10_000
SETTLE_SECONDS, WATCHED_SECONDS = 5.0, 20.0
BAR_MB, BAR_CORE, BAR_START_SECONDS = 120.0, 0.01, 1.0

_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that no daemon of this machine uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def processes(daemon: Daemon) -> dict[str, int]:
    """The daemon's and its worker's process id."""
    assert daemon.process is not None
    children = subprocess.check_output(
        ["ps", "-o", "pid=,args=", "--ppid", str(daemon.process.pid)], text=True
    )
    worker = next(line.split()[0] for line in children.splitlines() if "spacedock_worker" in line)
    return {"daemon": daemon.process.pid, "worker": int(worker)}


def memory(pid: int) -> float:
    """Megabytes that a process has resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) / 1024


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def started(daemon: Daemon) -> float:
    """Start the daemon; the seconds until it is ready."""
    begin = time.perf_counter()
    daemon.start()
    return time.perf_counter() - begin


def main() -> int:
    """Start, fill the queue, watch; 1 where a bar is missed."""
    with tempfile.TemporaryDirectory() as folder:
        # Installed packages are compiled.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        daemon = Daemon(Path(folder), {**env, "SPACEDOCK_HTTP__PORT": str(free_port())})
        try:
            started(daemon)
            daemon.stop()
            seconds = started(daemon)
            pids = processes(daemon)
            cpu = sum(map(cpu_seconds, pids.values()))
            with SyncClient(daemon.url) as client:
                client.pause_host(daemon.id)
                client.submit_many([f"prompt {number}" for number in range(JOBS)])
            return told(seconds, cpu, pids)
        finally:
            daemon.stop()


def told(seconds: float, cpu: float, pids: dict[str, int]) -> int:
    """Watch the processes, print what they take, and say whether the bars are met."""
    time.sleep(SETTLE_SECONDS)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(WATCHED_SECONDS)
    cores = {name: (cpu_seconds(pid) - before[name]) / WATCHED_SECONDS for name, pid in pids.items()}
    taken = {name: memory(pid) for name, pid in pids.items()}
    for name, one in taken.items():
        print(f"{name:8} {one:5.1f} MB resident  {cores[name]:.2%} of a core")
    both = sum(taken.values())
    print(f"both     {both:5.1f} MB resident")
    print(f"ready    {seconds:.2f} s after its start, for {cpu:.2f} s of CPU; {JOBS:,} jobs queued since")
    met = both <= BAR_MB and sum(cores.values()) < BAR_CORE and seconds <= BAR_START_SECONDS
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
