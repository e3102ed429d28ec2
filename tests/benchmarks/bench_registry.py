"""Ten thousand Spaces: list, search and recommend by a warm worker, and what an edit of the file costs.

Ends with 1 where one of the first three takes 0.3 s or longer at the median. Times are of this machine,
through a real daemon: the client's call from its begin to the answer in hand. Edits by hand are timed in
the registry itself.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from tests.acceptance.running import BIN, Daemon

from spacedock import SyncClient
from spacedock_worker.registry.host_file import default_text
from spacedock_worker.registry.registry import Registry

SPACES = 10_000
ROUNDS = 9
BAR_SECONDS = 0.3

_DOES = (
    ("sentiment of reviews", "text", "text", "text_processing"),
    ("captions for photographs", "image", "text", "image_processing"),
    ("speech to text for meetings", "audio", "text", "audio_processing"),
    ("pictures from a prompt", "text", "image", "image_processing"),
    ("translation between languages", "text", "text", "text_processing"),
    ("questions about scanned documents", "text_and_image", "text", "nlp"),
    ("depth maps of rooms", "image", "image", "computer_vision"),
)


def registry() -> dict[str, Any]:
    """The default registry, and so many others that there are ten thousand."""
    spaces = dict(yaml.safe_load(default_text())["spaces"])
    for number in range(SPACES - len(spaces)):
        does, takes, gives, category = _DOES[number % len(_DOES)]
        name = f"somebody-{number % 997}/space-{number}"
        spaces[name] = {
            "id": name,
            "hub_id": name,
            "description": f"The {does}, number {number}, by model {number % 89}",
            "category": category,
            "input_type": takes,
            "output_type": gives,
            "likes": number % 1000,
        }
    return {"spaces": spaces}


def median(work: Callable[[], object]) -> float:
    """The median of some rounds, in seconds; the first one warms up and does not count."""
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    with tempfile.TemporaryDirectory(prefix="sd-bench-") as place:
        folder = Path(place)
        (folder / "registry.yaml").write_text(yaml.safe_dump(registry(), sort_keys=False))
        daemon = Daemon(
            folder,
            {
                "PATH": str(BIN),
                "HOME": place,
                "SPACEDOCK_REGISTRY": str(folder / "registry.yaml"),
                "SPACEDOCK_SMOLLM__HUB": "false",
                "SPACEDOCK_LOOK_FOR_MODELS": "false",
            },
        )
        daemon.start()
        try:
            missed = measured(daemon)
        finally:
            daemon.stop()
        edits(folder / "registry.yaml")
    return missed


def measured(daemon: Daemon) -> int:
    """Ask the daemon, and print what it took."""
    with SyncClient(daemon.url) as client:
        calls = {
            "list": client.spaces.list,
            "search": lambda: client.spaces.search("captions for photographs"),
            "recommend": lambda: client.spaces.recommend("Transcribe this meeting", files=["meeting.wav"]),
        }
        found = {name: median(work) for name, work in calls.items()}
        numbers = count()
        added = median(lambda: client.spaces.add(f"new-{next(numbers)}", {"docker_image": "new:1"}))
    print(f"add one    {added * 1000:7.1f} ms")
    for name, seconds in found.items():
        print(f"{name:10} {seconds * 1000:7.1f} ms   (bar {BAR_SECONDS * 1000:.0f} ms)")
    command = [BIN / "spacedock", "spaces", "list"]
    env = {**daemon.env, "SPACEDOCK_REDIS_URL": daemon.url}
    whole = median(lambda: subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True))
    print(f"the whole command `spacedock spaces list`, Python's start included: {whole * 1000:.0f} ms")
    return int(any(seconds >= BAR_SECONDS for seconds in found.values()))


def edits(path: Path) -> None:
    """Read the file, and again after a person has changed it, and print what it took."""
    began = time.perf_counter()
    registry = Registry(path)
    registry.snapshot()
    first, numbers = time.perf_counter() - began, count()

    def by_hand() -> float:
        path.write_text(path.read_text().replace(", number 77,", f", number 77 of {next(numbers)},"))
        saved = time.perf_counter()
        registry.snapshot()
        return time.perf_counter() - saved

    found = {
        "read at first": first,
        "read again after an edit by hand": statistics.median(by_hand() for _ in range(ROUNDS)),
    }
    for name, seconds in found.items():
        print(f"{name:32} {seconds * 1000:7.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
