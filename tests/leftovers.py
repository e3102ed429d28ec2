"""What tests leave on the engine: each process removes its own, and what old runs left."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

LONGEST_RUN = timedelta(hours=2)

_OF_TESTS = "spacedock-test-"
_PROCESS = secrets.token_hex(4)
_instances: list[str] = []


def own_instance() -> str:
    """An instance id that no other test has, and that tells what is this process's."""
    _instances.append(f"test-{_PROCESS}-{secrets.token_hex(3)}")
    return _instances[-1]


def remove_own_caches() -> None:
    """Remove the cache volumes of this process's instances, which outlive their daemons."""
    # Tests that have made no instance need no engine.
    if _instances:
        _remove("volume", [name for name in _names("volume") if name.startswith(f"{_OF_TESTS}{_PROCESS}-")])


def remove_old() -> None:
    """Remove the volumes and networks of runs that were killed: an engine has few networks to give.

    Younger ones may belong to a run beside this one. The engine keeps what a container uses.
    """
    for kind in ("volume", "network"):
        _remove(kind, old(_described(kind, _names(kind)), datetime.now(UTC)))


def old(rows: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    """The names of those that were made longer ago than a run takes; `rows` are the engine's own (pure)."""
    made = {str(row["Name"]): row.get("CreatedAt") or row["Created"] for row in rows}
    return [name for name, when in made.items() if datetime.fromisoformat(when) < now - LONGEST_RUN]


def _names(kind: str) -> list[str]:
    names = _docker(kind, "ls", "--format", "{{.Name}}", "--filter", f"name={_OF_TESTS}").splitlines()
    return [name for name in names if name.startswith(_OF_TESTS)]


def _described(kind: str, names: list[str]) -> list[dict[str, Any]]:
    # The engine leaves out those that have gone meanwhile.
    described: list[dict[str, Any]] = json.loads(_docker(kind, "inspect", *names) or "[]") if names else []
    return described


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False).stdout


def _remove(kind: str, names: list[str]) -> None:
    if names:
        _docker(kind, "rm", *names)
