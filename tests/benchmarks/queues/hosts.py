"""Row 6: real daemons on one Redis, and jobs of a Space that sleeps for a second."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import yaml
from tests.acceptance.running import SPACES, Daemon

from spacedock.client import Client
from spacedock.request import JobRequest

COUNTS = (1, 2, 4)
JOBS = 240
CONTAINERS = 3
_TEXT = {"input_type": "text", "output_type": "text"}
_NAP = {"repository": str(SPACES / "nap"), "category": "naps", **_TEXT}
_SPACES = {
    "nap": {"id": "nap", **_NAP},
    "brief": {"id": "brief", **_NAP, "env": {"NAP_SECONDS": "0.2"}},
    "quick": {"id": "quick", **_NAP, "env": {"NAP_SECONDS": "0"}},
}
_SETTINGS = {
    "SPACEDOCK_LOOK_FOR_MODELS": "false",
    "SPACEDOCK_SMOLLM__HUB": "false",
    "SPACEDOCK_LOG_FORMAT": "json",
    "SPACEDOCK_CONTAINERS__MEMORY": str(256 * 2**20),
}


@contextmanager
def daemon(url: str | None) -> Iterator[Daemon]:
    """A daemon with a state directory of its own; the first brings the queue's server."""
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    (folder / "registry.yaml").write_text(yaml.safe_dump({"spaces": _SPACES}))
    env = {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")} | _SETTINGS
    env["SPACEDOCK_REGISTRY"] = str(folder / "registry.yaml")
    env["XDG_STATE_HOME"] = str(folder / "client-state")
    if url is not None:
        env["SPACEDOCK_REDIS_URL"] = url
    started = Daemon(folder, env)
    try:
        started.start()
        yield started
    finally:
        started.remove()


async def _seconds(url: str, jobs: int) -> float:
    async with Client(url) as client:
        began = perf_counter()
        ids = await client.submit_many([JobRequest(prompt=f"nap {n}", space="nap") for n in range(jobs)])
        async for result in client.results(ids):
            assert result.succeeded, result
        return perf_counter() - began


def measure() -> dict[int, float]:
    """Seconds of all jobs with so many daemons, whose containers are up."""
    seconds = {}
    with ExitStack() as stack:
        daemons: list[Daemon] = []
        for count in COUNTS:
            while len(daemons) < count:
                daemons.append(stack.enter_context(daemon(daemons[0].url if daemons else None)))
            url = daemons[0].url
            asyncio.run(_seconds(url, count * CONTAINERS * 4))
            seconds[count] = asyncio.run(_seconds(url, JOBS))
    return seconds
