"""What an idle host costs, by `make bench-idle`: memory and CPU with 10,000 jobs queued, and the start.

The host is paused, so that the jobs stay queued. `rss` is what each process has in memory; what both have
there counts a page of a library that they share once, whatever other programs share it too (0049). The start
is timed a second time, when files are in the cache. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping
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


def memory(pid: int) -> dict[str, float]:
    """Megabytes that a process has in memory: by the file they are from, "" for what is its own."""
    found: Counter[str] = Counter()
    file = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head, *words = line.split()
        if not head.endswith(":"):
            file = words[4] if len(words) == 5 else ""
        elif head == "Rss:":
            found[file] += int(words[0])
        elif head == "Anonymous:":
            found[""] += int(words[0])
            found[file] -= int(words[0])
    return {name: pages / 1024 for name, pages in found.items()}


def together(taken: Collection[Mapping[str, float]]) -> float:
    """Megabytes that processes have in memory, each page of a file counted once."""
    files = {name for one in taken for name in one} - {""}
    own = sum(one[""] for one in taken)
    return own + sum(max(one.get(name, 0.0) for one in taken) for name in files)


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
    for name, one in taken.items():
        print(f"{name:8} rss {sum(one.values()):5.1f} MB  own {one['']:5.1f} MB  {cores[name]:.2%} of a core")
    both = together(taken.values())
    print(f"both     {both:.1f} MB in memory")
    print(f"ready    {seconds:.2f} s after its start, {JOBS:,} jobs queued since")
    met = both <= BAR_MB and sum(cores.values()) < BAR_CORE and seconds <= BAR_START_SECONDS
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
