"""The bridge networks of Spaces' containers, without traffic between them; a sealed one has no way out."""

from __future__ import annotations

import asyncio

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_LABEL = "io.spacedock.network"
_CONFLICT = 409


class Network:
    """One daemon's bridge, by its name. Engines make two networks of one name when two ask at once, and then
    refuse to use either: so each daemon has a name of its own, and one of its starts at a time looks.

    From a `sealed` one nothing can be reached but this host's own services that listen on the bridge's
    address or on all; this host reaches its containers by their addresses, as ports cannot be published.
    """

    def __init__(self, engine: Engine, name: str, *, sealed: bool = False) -> None:
        self._engine = engine
        self.name, self._sealed = name, sealed
        self._looking = asyncio.Lock()

    async def ensure(self) -> None:
        """Make the network unless it is there; safe when several do it at once.

        Raises StepError `start_failed` where the engine refuses, or has one of that name that is not ours.
        """
        try:
            # A start that is cancelled must not leave a network behind that `remove` has not seen.
            await asyncio.shield(self._make())
        except RefusedError as error:
            message = f"the network {self.name} cannot be made: {error.message}. See `docker network ls`."
            raise StepError(Stage.START, ErrorKind.START_FAILED, message) from error

    async def remove(self) -> None:
        """Remove the network if it is ours and nobody is on it; never fails for that."""
        try:
            async with self._looking, self._engine.call(Stage.START) as docker:
                for network in await docker.networks.list(filters={"name": self.name, "label": _LABEL}):
                    if network["Name"] == self.name:
                        await (await docker.networks.get(network["Id"])).delete()
        except (RefusedError, StepError) as error:
            # Refused while a container is on it that could not be removed: the next life tries again.
            log.debug("network.kept", network=self.name, reason=str(error))

    async def _make(self) -> None:
        async with self._looking:
            if not await self._exists():
                await self._create()

    async def _exists(self) -> bool:
        async with self._engine.call(Stage.START) as docker:
            named = await docker.networks.list(filters={"name": self.name})
        same = [network for network in named if network["Name"] == self.name]
        if same and _LABEL not in (same[0].get("Labels") or {}):
            raise RefusedError(_CONFLICT, "there is one of that name that Spacedock did not make")
        if same and bool(same[0].get("Internal")) is not self._sealed:
            raise RefusedError(_CONFLICT, "there is one of that name that is not sealed as it should be")
        return bool(same)

    async def _create(self) -> None:
        try:
            async with self._engine.call(Stage.START) as docker:
                await docker.networks.create(
                    {
                        "Name": self.name,
                        "Driver": "bridge",
                        "CheckDuplicate": True,
                        "Internal": self._sealed,
                        "Labels": {_LABEL: "1"},
                        "Options": {"com.docker.network.bridge.enable_icc": "false"},
                    }
                )
        except RefusedError as error:
            if error.status != _CONFLICT:
                raise
