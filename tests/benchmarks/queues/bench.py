"""`make bench`: measures the queue beside others, and writes docs/benchmarks.md."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from time import perf_counter

from tests.benchmarks.queues import affinity, depth, fairness, hosts, side_by_side
from tests.benchmarks.queues.page import Run, written
from tests.benchmarks.queues.recovery import Trials
from tests.benchmarks.queues.rooms import ROOT, install

from spacedock_worker.logs import configure

PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Measure everything once; the trials of recovery wait meanwhile."""
    # Whoever stops it finds no processes left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    configure("json", "warning")
    began, before = perf_counter(), os.getloadavg()[0]
    _say("environments of the other queues")
    install()
    with Trials() as trials:
        _say("workers that are killed")
        trials.begin()
        _say("latency, throughput and submission, side by side")
        beside = side_by_side.measure()
        _say("claims behind many jobs, and memory")
        deep = asyncio.run(depth.measure())
        _say("starts of Spaces")
        placed = affinity.measure()
        _say("daemons")
        naps, shares = (hosts.measure(), fairness.measure()) if _has_engine() else (None, None)
        _say("what is left of the kills")
        recovery = trials.end()
    load = before, os.getloadavg()[0]
    run = Run(beside, recovery, deep, naps, shares, placed, load, perf_counter() - began)
    PAGE.write_text(written(run))
    _say(f"wrote {PAGE.relative_to(ROOT)} after {run.seconds:.0f} s")


def _has_engine() -> bool:
    return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
