"""`python -m tests.faults.guided RUNS`: every place under atheris, which is not among our dependencies.

A line `== NAME` comes before what is said of a place, and `== ended STATUS` after it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import atheris

_OURS = ["spacedock", "spacedock_worker", "spacedockd"]
with atheris.instrument_imports(include=_OURS, enable_loader_override=False):
    from tests.faults.doors import DOORS, Door
    from tests.faults.rows.inputs import Trying


def main() -> None:
    """Try each place in a process of its own: to load the code takes longer than to try the inputs."""
    for door in DOORS:
        _say(f"== {door.name}")
        # What ends with the fuzzing cleans nothing up.
        with tempfile.TemporaryDirectory() as folder:
            for number, raw in enumerate(door.seeds):
                Path(folder, str(number)).write_bytes(raw)
            if (pid := os.fork()) == 0:
                _fuzz(door, sys.argv[1], folder)
            _say(f"== ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _fuzz(door: Door, runs: str, folder: str) -> None:
    """Try so many inputs, from those in the folder on; ends the process, by a crash not with 0."""
    trying, loop = Trying(door), asyncio.new_event_loop()

    def one(raw: bytes) -> None:
        loop.run_until_complete(trying.read(raw, "an input"))
        if trying.wrong:
            raise RuntimeError(trying.wrong[0])

    options = [f"-runs={runs}", "-max_len=2000", "-seed=7", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *options, folder], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
