"""`python -m tests.faults.guided DOOR RUNS`: one place under atheris, which is not among our dependencies."""

from __future__ import annotations

import asyncio
import sys

import atheris

with atheris.instrument_imports(include=["spacedock", "spacedock_worker"], enable_loader_override=False):
    from tests.faults.doors import DOORS
    from tests.faults.rows.inputs import Trying


def main() -> None:
    """Try so many inputs; a crash ends it with a status that is not 0."""
    trying = Trying(next(door for door in DOORS if door.name == sys.argv[1]))
    loop = asyncio.new_event_loop()

    def one(raw: bytes) -> None:
        loop.run_until_complete(trying.read(raw, "an input"))
        if trying.wrong:
            raise RuntimeError(trying.wrong[0])

    atheris.Setup(
        [sys.argv[0], f"-runs={sys.argv[2]}", "-max_len=2000", "-seed=7", "-rss_limit_mb=4096"], one
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
