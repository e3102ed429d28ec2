"""`python -m tests.leftovers`: removes the cache volumes of tests' Spaces, which outlive their daemons."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

OF_TESTS = "name=^spacedock-test-"
LONGEST_RUN = timedelta(hours=2)


def remove_caches() -> None:
    """Remove those that no container uses."""
    # Another run's may be in use by now.
    _remove("volume", _docker("volume", "ls", "--quiet", "--filter", "dangling=true", "--filter", OF_TESTS))


def remove_old_networks() -> None:
    """Remove what earlier runs left that were killed: an engine has few networks to give."""
    rows = _docker("network", "ls", "--format", "{{.Name}} {{.CreatedAt}}", "--filter", OF_TESTS)
    before = (datetime.now(UTC) - LONGEST_RUN).isoformat(" ")
    # One that has a container is kept by the engine.
    _remove("network", [name for name, _, made in (row.partition(" ") for row in rows) if made < before])


def _docker(*arguments: str) -> list[str]:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False
    ).stdout.splitlines()


def _remove(kind: str, names: list[str]) -> None:
    if names:
        _docker(kind, "rm", *names)


if __name__ == "__main__":
    remove_caches()
