"""Removing what an earlier life left on the engine: `python -m … INSTANCE NETWORK [DOCKER_HOST]`.

A program of its own too, so that the daemon's process does not have to know the engine.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection

import structlog

from spacedock.result import Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.network import Network, reap_networks
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_SHARED = ("", "-sealed", "-builds")
"""How the names of a daemon's networks end."""


async def listed(engine: Engine, owner: str) -> dict[str, str]:
    """The containers labelled as `owner`'s: Docker's word for the state by name.

    Raises RefusedError, and StepError `docker_unavailable`.
    """
    async with engine.call(Stage.START) as docker:
        filters = json.dumps({"label": [f"{OWNER_LABEL}={owner}"]})
        found = await docker.containers.list(all=True, filters=filters)
    return {c["Names"][0].removeprefix("/"): str(c["State"]) for c in found if c["Names"]}


async def reap(engine: Engine, owner: str, keep: Collection[str] = ()) -> bool:
    """Remove the containers labelled as `owner`'s, and their own networks, except those named in `keep`.

    Never touches another's. Returns whether the engine answered and all of them are gone; never raises for
    the engine.
    """
    try:
        found = await listed(engine, owner)
    except (EngineRefusedError, StepError) as error:
        log.warning("containers.not_listed", reason=str(error))
        return False
    left = [RunningContainer(engine, name) for name in found if name not in keep]
    gone = await asyncio.gather(*(container.remove() for container in left))
    if gone:
        log.info("containers.reaped", count=len(gone))
    # A network is refused while its container is there.
    return await reap_networks(engine, owner, keep) and all(gone)


async def remove(instance_id: str, network: str, docker_host: str | None = None) -> bool:
    """Remove the instance's containers, and the networks called `network`; whether all of them are gone."""
    async with Engine(docker_host) as engine:
        reaped = await reap(engine, instance_id)
        return all([await Network(engine, network + end).remove() for end in _SHARED]) and reaped


if __name__ == "__main__":
    sys.exit(not asyncio.run(remove(*sys.argv[1:])))
