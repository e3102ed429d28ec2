"""Cache volumes: where each Space keeps what it downloads, from one container to the next."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile

import structlog

from spacedock.result import Stage
from spacedock_worker.containers.body import OWNER_LABEL, SPACE_LABEL
from spacedock_worker.containers.engine import Engine

log = structlog.get_logger()

_SLUG_LENGTH = 40
_UID = 1000


def volume_name(owner: str, space: str) -> str:
    """The name of the Space's cache volume on the engine."""
    slug = re.sub(r"[^a-z0-9]+", "-", space.lower()).strip("-")[:_SLUG_LENGTH] or "space"
    return f"spacedock-{owner}-cache-{slug}-{hashlib.sha256(space.encode()).hexdigest()[:8]}"


def volume_labels(owner: str, space: str) -> dict[str, str]:
    """The labels by which the volume is known as that Space's."""
    return {OWNER_LABEL: owner, SPACE_LABEL: space}


class Caches:
    """The cache volumes of one daemon's Spaces; never shared between Spaces, nor between daemons."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine, self._owner = engine, owner

    async def ensure(self, space: str) -> str:
        """The name of the Space's volume, made unless it is there. Raises RefusedError or StepError."""
        name = volume_name(self._owner, space)
        async with self._engine.call(Stage.START) as docker:
            wanted = {"Name": name, "Labels": volume_labels(self._owner, space)}
            await docker._query_json("volumes/create", method="POST", data=wanted)
        return name

    async def hand_over(self, container: str, path: str) -> None:
        """Have the cache's folder belong to the app's user, in a container that is not started yet.

        The engine gives a fresh volume what the image has at that path, with its owner; where the image has
        nothing there, the folder would be root's. Raises RefusedError or StepError.
        """
        params = {"path": path}
        async with (
            self._engine.call(Stage.START) as docker,
            docker._query(
                f"containers/{container}/archive", method="PUT", params=params, data=_own_folder()
            ) as response,
        ):
            await response.read()


def _own_folder() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("./")
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, _UID, _UID
        archive.addfile(entry)
    return packed.getvalue()
