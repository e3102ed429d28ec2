"""What an idle host costs, by `make bench-idle`: memory and CPU with 10,000 jobs queued, and the start.

The host is paused, so that the jobs stay queued. Memory is that of the daemon and the worker: `rss` counts
what they share in each of them, `pss` once and by shares, `own` not at all. The start is timed a second time,
when files are in the cache. Exits with 1 where a bar is missed.
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

_SHOWN = {"rss": "Rss", "pss": "Pss", "own": "Private_Dirty"}
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


def memory(pid: int) -> dict[str, float]:
    """Megabytes of a process, by the names in `_SHOWN`."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    return {name: found[key] for name, key in _SHOWN.items()}


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
        daemon = Daemon(Path(folder), {**os.environ, "SPACEDOCK_HTTP__PORT": str(free_port())})
        try:
            started(daemon)
            daemon.stop()
            seconds = started(daemon)
            with SyncClient(daemon.url) as client:
                client.pause_host(daemon.id)
                client.submit_many([f"prompt {number}" for number in range(JOBS)])
            return told(seconds, processes(daemon))
        finally:
            daemon.stop()


def told(seconds: float, pids: dict[str, int]) -> int:
    """Watch the processes, print what they take, and say whether the bars are met."""
    time.sleep(SETTLE_SECONDS)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(WATCHED_SECONDS)
    cores = {name: (cpu_seconds(pid) - before[name]) / WATCHED_SECONDS for name, pid in pids.items()}
    taken = {name: memory(pid) for name, pid in pids.items()}
    for name, megabytes in taken.items():
        sizes = "  ".join(f"{key} {value:5.1f} MB" for key, value in megabytes.items())
        print(f"{name:8} {sizes}  {cores[name]:.2%} of a core")
    together = {key: sum(one[key] for one in taken.values()) for key in _SHOWN}
    print("together", "  ".join(f"{key} {value:5.1f} MB" for key, value in together.items()))
    print(f"ready    {seconds:.2f} s after its start, {JOBS:,} jobs queued since")
    met = together["rss"] <= BAR_MB and sum(cores.values()) < BAR_CORE and seconds <= BAR_START_SECONDS
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
