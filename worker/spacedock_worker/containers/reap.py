"""Removing the containers that an earlier life of this daemon left behind."""

from __future__ import annotations

import json
from collections.abc import Collection

import structlog

from spacedock.result import Stage
from spacedock_worker.containers.body import OWNER_LABEL
from spacedock_worker.containers.container import RunningContainer
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.errors import StepError

log = structlog.get_logger()


async def reap(engine: Engine, owner: str, keep: Collection[str] = ()) -> bool:
    """Remove the containers labelled as `owner`'s, except those named in `keep`; never touches another's.

    Returns whether the engine answered and all of them are gone; never raises for the engine.
    """
    try:
        async with engine.call(Stage.START) as docker:
            filters = json.dumps({"label": [f"{OWNER_LABEL}={owner}"]})
            listed = await docker.containers.list(all=True, filters=filters)
    except (RefusedError, StepError) as error:
        log.warning("containers.not_reaped", reason=str(error))
        return False
    names = [container["Names"][0].removeprefix("/") for container in listed if container["Names"]]
    gone = [await RunningContainer(engine, name).remove() for name in names if name not in keep]
    if gone:
        log.info("containers.reaped", count=len(gone))
    return all(gone)
