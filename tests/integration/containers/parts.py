"""What tests of the pool are made of: Python's own web server as the app, and looks at the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from spacedock.result import Stage
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.removal import listed

SERVE = ("python3", "-m", "http.server", "7860", "--directory", "/tmp")


@dataclass
class Page:
    """A connection to a web server, which is nothing but its address."""

    url: str
    closed: bool = False

    async def aclose(self) -> None:
        self.closed = True

    async def text(self) -> str:
        async with aiohttp.ClientSession() as session, session.get(self.url) as response:
            return await response.text()


async def answers(url: str) -> Page | None:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return Page(url) if response.status == 200 else None
    except aiohttp.ClientError:
        return None


async def never(url: str) -> Page | None:
    return None


def silent(text: str) -> None:
    pass


async def listing(engine: Engine, owner: str) -> list[Any]:
    """The owner's containers as the engine lists them."""
    filters = json.dumps({"label": [f"{OWNER_LABEL}={owner}"]})
    async with engine.call(Stage.START) as docker:
        return await docker.containers.list(all=True, filters=filters)


async def ours(engine: Engine, owner: str) -> list[str]:
    return [container.id for container in await listing(engine, owner)]


async def states(engine: Engine, owner: str) -> dict[str, str]:
    """The states of the owner's containers by name."""
    return await listed(engine, owner) or {}
