"""A real HTTP door for tests: the daemon's server in this process, on a free port, towards a real queue."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from spacedock.configuration import http_address
from spacedockd import paths
from spacedockd.http.listening import HttpServer
from spacedockd.http.settings import HttpSettings


@dataclass(frozen=True)
class Door:
    """Where it is (`url`, and its unix socket), its owner's token, and a session that sends it."""

    url: str
    unix: Path
    token: str
    session: aiohttp.ClientSession
    server: HttpServer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


@asynccontextmanager
async def opened(redis_url: str, folder: Path, **settings: Any) -> AsyncIterator[Door]:
    """A door with these settings (`HttpSettings`, `models_as`) beside the defaults, until the block ends."""
    state, run = folder / "state", folder / "run"
    for directory in (state, run):
        paths.make_private(directory)
    settings.setdefault("port", free_port())
    models_as, watched = settings.pop("models_as", {}), settings.pop("watched", None)
    server = HttpServer(HttpSettings(**settings), redis_url, state, run, models_as, watched)
    await server.start()
    at = http_address({"SPACEDOCK_RUNTIME_DIR": str(run), "HOME": str(folder)}, 1000)
    token = at.token.read_text().strip()
    try:
        async with aiohttp.ClientSession(at.url, headers={"Authorization": f"Bearer {token}"}) as session:
            yield Door(at.url, at.socket, token, session, server)
    finally:
        await server.stop()
