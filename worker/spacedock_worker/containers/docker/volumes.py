"""A cache volume for each Space, so that what it has downloaded outlives its containers."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from pathlib import PurePosixPath
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.archive import pack
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.create_body import OWNER_LABEL, SPACE_LABEL, USER, cache_path
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError, full_disk, tells_full_disk

log = structlog.get_logger()

_SLUG_LENGTH = 24
_HASH_LENGTH = 32
"""Nobody finds two names with the same 128 bits, though names are anybody's choice."""


def volume_name(owner: str, space: str) -> str:
    """The name of the Space's cache volume: no two Spaces and no two daemons have one in common (pure)."""
    slug = re.sub(r"[^a-z0-9]+", "-", space.lower()).strip("-")[:_SLUG_LENGTH] or "space"
    digest = hashlib.sha256(space.encode()).hexdigest()[:_HASH_LENGTH]
    return f"spacedock-{owner}-cache-{slug}-{digest}"


def volume_labels(owner: str, space: str) -> dict[str, str]:
    """The labels by which the volume is found again (pure)."""
    return {OWNER_LABEL: owner, SPACE_LABEL: space}


class Caches:
    """One daemon's cache volumes; never shared between Spaces, nor between daemons.

    A container that is in use while one is made has its name in `names`, so that nobody takes it for left.
    """

    def __init__(self, engine: Engine, owner: str, names: set[str]) -> None:
        self._engine, self._owner, self._names = engine, owner, names
        self._ready: set[tuple[str, str, str]] = set()
        self._making = asyncio.Lock()

    async def ensure(self, spec: ContainerSpec) -> str | None:
        """The name of the Space's volume, which is there and which uid 1000 can write to.

        None where the Space has no cache, or its image names a place where none can be. What the image has at
        that place is in a new volume from the start. Raises StepError `start_failed`, `docker_unavailable`.
        """
        path = cache_path(spec.cache)
        if path is None:
            return None
        name = volume_name(self._owner, spec.space)
        async with self._making:
            made = (spec.space, name, path)
            if made not in self._ready or not await self._exists(name):
                await self._make(name, spec, path)
                self._ready.add(made)
        return name

    async def _exists(self, name: str) -> bool:
        try:
            async with self._engine.call(Stage.START) as docker:
                await docker._query_json(f"volumes/{name}")
        except EngineRefusedError as error:
            if not error.not_found:
                raise _refused(name, error) from error
            return False
        return True

    async def _make(self, name: str, spec: ContainerSpec, path: str) -> None:
        body = {"Name": name, "Driver": "local", "Labels": volume_labels(self._owner, spec.space)}
        try:
            async with self._engine.call(Stage.START) as docker:
                # An engine that has it already keeps that one.
                await docker._query_json("volumes/create", method="POST", data=body)
                # Engine 20.10 answers without labels there, the first time after its start.
                found = await docker._query_json(f"volumes/{name}")
            labels = found.get("Labels") or {}
            if labels.get(SPACE_LABEL) != spec.space or labels.get(OWNER_LABEL) != self._owner:
                raise EngineRefusedError(0, "there is one of that name that Spacedock did not make")
            await self._hand_over(name, spec, path)
        except EngineRefusedError as error:
            raise _refused(name, error) from error

    async def _hand_over(self, name: str, spec: ContainerSpec, path: str) -> None:
        """Give the volume to uid 1000: a new one is root's. A container that is never started does it.

        The Space's own cannot be it: with a read-only root, engines refuse to unpack beside a volume.
        """
        helper = RunningContainer(self._engine, f"spacedock-cache-{secrets.token_hex(4)}")
        self._names.add(helper.name)
        body = {
            "Image": spec.reference,
            "User": USER,
            "Entrypoint": [],
            "Cmd": ["true"],
            "Labels": {OWNER_LABEL: self._owner, SPACE_LABEL: spec.space},
        }
        try:
            if (await self._engine.dialect(Stage.START)).podman:
                await self._mount_as_theirs(helper, body, f"{name}:{path}:U")
            else:
                await self._unpack_folder(helper, body, name, PurePosixPath(path))
        finally:
            await asyncio.shield(self._gone(helper))

    async def _unpack_folder(
        self, helper: RunningContainer, body: dict[str, Any], name: str, folder: PurePosixPath
    ) -> None:
        """Have the engine unpack a tar with that one folder, which is uid 1000's, onto the volume."""
        mount = {"Type": "volume", "Source": name, "Target": str(folder)}
        await helper.create(body | {"HostConfig": {"NetworkMode": "none", "Mounts": [mount]}})
        await self._ask(
            "PUT",
            f"containers/{helper.name}/archive",
            params={"path": str(folder.parent)},
            data=pack({}, (folder.name,)),
        )

    async def _mount_as_theirs(self, helper: RunningContainer, body: dict[str, Any], bind: str) -> None:
        """Have Podman mount the volume with option U, which gives its files to the container's user.

        Podman unpacks below a volume instead of onto it, and fills a new one when it is mounted first.
        """
        await helper.create(body | {"HostConfig": {"NetworkMode": "none", "Binds": [bind]}})
        await self._ask("POST", f"libpod/containers/{helper.name}/init")

    async def _ask(self, method: str, path: str, **more: Any) -> None:
        async with (
            self._engine.call(Stage.START) as docker,
            docker._query(path, method=method, **more) as response,
        ):
            await response.read()

    async def _gone(self, helper: RunningContainer) -> None:
        await helper.remove()
        self._names.discard(helper.name)


def _refused(name: str, error: EngineRefusedError) -> StepError:
    if tells_full_disk(error.message):
        return full_disk(Stage.START, f"the cache volume {name} cannot be made")
    message = f"the cache volume {name} cannot be made: {error.message}. See `docker volume ls`."
    return StepError(Stage.START, ErrorKind.START_FAILED, message)
