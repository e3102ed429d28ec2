"""An environment for each of the other queues, with the newest version of it that can be had."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = ROOT / ".cache" / "bench"

PACKAGES = {
    "taskiq": ["taskiq", "taskiq-redis", "orjson", "hiredis", "uvloop"],
    "SAQ": ["saq", "redis", "hiredis", "typing_extensions", "uvloop"],
    "streaq": ["streaq", "uvloop"],
    "arq": ["arq", "hiredis", "uvloop"],
}
"""What each needs to be at its fastest."""

OURS = "Spacedock"
QUEUES = (OURS, *PACKAGES)

_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


def install() -> None:
    """Make the environments, or bring them up to date."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(_install, PACKAGES))


def _install(queue: str) -> None:
    room = ROOMS / queue
    if not (room / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(room)], check=True)
    command = [str(room / "bin" / "pip"), "install", "--quiet", "--upgrade", *PACKAGES[queue]]
    subprocess.run(command, check=True)


def versions(queue: str) -> dict[str, str]:
    """The versions of a queue's packages."""
    command = [str(ROOMS / queue / "bin" / "python"), "-c", _VERSIONS, *PACKAGES[queue]]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def command(queue: str, *arguments: str) -> list[str]:
    """The command line of a queue's worker or client."""
    if queue == OURS:
        return [sys.executable, "-m", "tests.benchmarks.queues.with_spacedock", *arguments]
    script = Path(__file__).parent / f"with_{queue.lower()}.py"
    return [str(ROOMS / queue / "bin" / "python"), str(script), *arguments]
