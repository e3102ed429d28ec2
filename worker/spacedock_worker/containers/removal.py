"""Removing what a killed worker left on the engine: `python -m … INSTANCE [DOCKER_HOST]`.

A program of its own, so that the daemon's process does not have to know the engine.
"""

from __future__ import annotations

import asyncio
import sys

from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.reap import reap


async def remove(instance_id: str, docker_host: str | None = None) -> bool:
    """Remove the instance's containers; whether all of them are gone."""
    async with Engine(docker_host) as engine:
        return await reap(engine, instance_id)


if __name__ == "__main__":
    sys.exit(not asyncio.run(remove(*sys.argv[1:])))
