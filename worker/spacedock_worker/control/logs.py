"""What the containers of a Space have written to their logs, without its secrets."""

from __future__ import annotations

from spacedock._wire.rpc import LogsOptions
from spacedock.errors import BadRequestError
from spacedock.replies.spaces import LogsReply
from spacedock.request import OWN_PREFIX
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.log_tail import masked
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.secrets import Secrets
from spacedock_worker.registry.registry import Registry

_MOST_LINES = 1000
_MOST_CONTAINERS = 10


class LogsHandler:
    """Reads logs as the engine keeps them; a container in privacy mode has none."""

    def __init__(self, registry: Registry, inventory: Inventory, secrets: Secrets) -> None:
        self._registry, self._inventory, self._secrets = registry, inventory, secrets

    async def answer(self, asked: Asked[LogsOptions]) -> LogsReply:
        """The last lines by container. Raises BadRequestError where there is no container, or no log."""
        name = str(asked.call.name or "")
        lines = max(1, min(asked.options.lines, _MOST_LINES))
        secrets = await self._values(name)
        names = [
            one.name
            for one in await self._inventory.containers()
            if one.owner == self._inventory.owner and one.space and is_of(one.space, name)
        ]
        if not names:
            why = f"no container of '{name}' is here. A failed job's result has the last lines of its log"
            raise BadRequestError(f"{why}: `spacedock result JOB`")
        kept = [one for one in sorted(names)[:_MOST_CONTAINERS] if await self._inventory.keeps_log(one)]
        if not kept:
            why = f"no log is kept of '{name}': it runs in privacy mode, or once for each job"
            raise BadRequestError(f"{why}. `spacedock result JOB` says how a job ended")
        logs: dict[str, str] = {}
        for one in kept:
            said = await RunningContainer(self._inventory.engine, one).words(count=lines)
            logs[one] = masked(said, secrets)
        return {"logs": logs}

    async def _values(self, name: str) -> dict[str, str]:
        """The values to mask. A secret that is not there now may have been when the container started."""
        entry = (await self._registry.fresh()).find(name)
        if entry is None:
            return {}
        try:
            return await self._secrets.of(entry)
        except StepError as error:
            raise BadRequestError(f"the log of '{name}' cannot be masked: {error}") from error


def is_of(space: str, name: str) -> bool:
    """Whether a container's Space is the one of that name: of a directory, any state of its code."""
    return space.startswith(f"{name}@") if name.startswith(OWN_PREFIX) else space == name
