"""A daemon for the load to run on, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from redis.asyncio import Redis
from tests.acceptance.running import SPACES, Daemon, new_daemon
from tests.faults.load import SPACE

from spacedock import Client
from spacedock._wire import keys
from spacedock._wire.connection import connect

LEFT_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_BUILT = {"repository": str(SPACES / "openapi-counting")}


def clean_env() -> dict[str, str]:
    """The environment without what would reach a daemon or client of the person who runs this."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")}


@asynccontextmanager
async def counting_daemon(at_start: str = "", **settings: str) -> AsyncIterator[Daemon]:
    """A daemon with the one Space that counts its calls, which has answered once.

    `at_start` is code that each Python process of the daemon's runs when it starts.
    """
    async with daemon_to_start(at_start, **settings) as daemon:
        await asyncio.to_thread(daemon.start)
        await warmed(settings.get("redis_url", daemon.url))
        yield daemon


@asynccontextmanager
async def daemon_to_start(
    at_start: str = "", entry: Mapping[str, Any] = _BUILT, **settings: str
) -> AsyncIterator[Daemon]:
    """Such a daemon before its start; `entry` is what its registry says of the Space."""
    few = {"drain_seconds": "1", "containers__max_containers": "1"}
    few |= {} if "http__port" in settings else {"http": "off"}
    daemon = new_daemon(clean_env(), **{**few, **settings})
    spaces = {SPACE: {"id": SPACE, "calls": 4, **entry}}
    (daemon.folder / "registry.yaml").write_text(yaml.safe_dump({"spaces": spaces}))
    (daemon.folder / "tmp").mkdir()
    (daemon.folder / "sitecustomize.py").write_text(at_start)
    daemon.env |= {"TMPDIR": str(daemon.folder / "tmp"), "PYTHONPATH": str(daemon.folder)}
    try:
        yield daemon
    finally:
        # Its engine may be the one that does not come back.
        with suppress(subprocess.CalledProcessError):
            await asyncio.to_thread(daemon.remove)


async def warmed(url: str) -> None:
    """Return when the Space has answered once: its image is built before anything fails."""
    async with Client(url) as client:
        result = await client.run("first", space=SPACE, endpoint="/shout", fallback="none")
        assert result.succeeded, result.error


def calls_of(daemon: Daemon) -> Sequence[tuple[float, str]]:
    """The calls that the daemon's Space has noted in its cache."""
    names = daemon.docker("volume", "ls", "--quiet", "--filter", daemon.owned)
    folders = daemon.docker("volume", "inspect", "--format", "{{.Mountpoint}}", *names)
    lines = [line.split() for folder in folders for line in _lines(Path(folder, "calls"))]
    return [(float(at), digest) for at, digest in lines]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def stopped(daemon: Daemon, url: str = "") -> list[str]:
    """Stop the daemon, whose jobs have all ended; what is left after `LEFT_SECONDS`. `url` is the queue's."""
    async with connect(url or daemon.url) as redis:
        left = await _gone(lambda: _keys(redis))
    await asyncio.to_thread(daemon.stop)
    return left + await _gone(lambda: _on_the_host(daemon))


async def _gone(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """What there is still after `LEFT_SECONDS`; nothing as soon as there is nothing."""
    for _ in range(int(LEFT_SECONDS / _LOOK_SECONDS)):
        if not await look():
            return []
        # Nothing announces that all is gone.
        await asyncio.sleep(_LOOK_SECONDS)
    return await look()


async def _keys(redis: Redis) -> list[str]:
    """The keys of jobs that wait or run."""
    patterns = ("arq:*", keys.WAITING + "*", keys.LANE + "*", keys.HELD, keys.PAYLOAD_USERS + "*")
    return [f"key {key.decode()}" for wanted in patterns async for key in redis.scan_iter(wanted, count=1000)]


async def _on_the_host(daemon: Daemon) -> list[str]:
    """Containers, networks, volumes but for caches, and temporary files."""
    listed = {
        "container": daemon.docker("ps", "--all", "--filter", daemon.owned, "--format", "{{.Names}}"),
        "network": daemon.docker("network", "ls", "--filter", f"name={daemon.id}", "--format", "{{.Name}}"),
        "volume": daemon.docker("volume", "ls", "--filter", daemon.owned, "--format", "{{.Name}}"),
        "file": [str(path.relative_to(daemon.folder)) for path in (daemon.folder / "tmp").rglob("*")],
    }
    return [f"{kind} {name}" for kind, names in listed.items() for name in names if "-cache-" not in name]
