"""The HTTP door of a real daemon: killed while many listen, and as the documentation uses it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.listening import Listener, assert_nothing_missed
from tests.acceptance.running import BIN, Daemon
from tests.door import free_port

from spacedock import Client, Fallback

LISTENERS, JOBS = 50, 60
ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(make_daemon: StartDaemon) -> Iterator[Daemon]:
    """A daemon of its own, at the same port whenever it starts."""
    daemon = make_daemon(http__port=str(free_port()), images__hub_offline="true")
    yield daemon
    daemon.stop()


async def submit(daemon: Daemon, count: int) -> None:
    """Jobs that end at once: no Space of theirs is known."""
    async with Client(daemon.url) as client:
        for _ in range(count):
            await client.submit("x", space="nowhere", fallback=Fallback.NONE)


async def test_listeners_miss_nothing_when_the_daemon_is_killed(served: Daemon) -> None:
    listeners = [Listener(served) for _ in range(LISTENERS)]
    async with asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.listen(set(), JOBS))
        await asyncio.gather(*(listener.begun.wait() for listener in listeners))
        await submit(served, JOBS // 3)
        await asyncio.to_thread(served.stop, signal.SIGKILL)
        await submit(served, JOBS // 3)
        await asyncio.to_thread(served.start)
        await submit(served, JOBS // 3)
    assert_nothing_missed(listeners, JOBS)


def test_the_curl_lines_of_the_documentation_run_as_written(daemon: Daemon, tmp_path: Path) -> None:
    page = (ROOT / "docs/http.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    told = json.loads((daemon.folder / "run/http.json").read_text())
    script = script.replace("http://127.0.0.1:7788", told["url"])
    quiet = 'set -euo pipefail; curl() { command curl -sS --fail-with-body "$@"; echo; }\n'
    env = {
        **daemon.env,
        "SPACEDOCK_REDIS_URL": daemon.url,
        "SPACEDOCK_RUNTIME_DIR": f"{daemon.folder}/run",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    ran = subprocess.run(
        ["bash", "-c", quiet + script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert '"text":"positive' in ran.stdout
    assert "\nA B\n" in ran.stdout
    assert "robot" in ran.stdout
