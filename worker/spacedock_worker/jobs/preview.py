"""What a plan's steps would find on this host and do there, told without doing any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from spacedock.request import JobRequest
from spacedock_worker.adapters.binding.choose import weighed
from spacedock_worker.adapters.binding.explain import mapping_of
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.inspection import Inspection, Inspector
from spacedock_worker.jobs.plan import ModelStep, Skip, SpaceStep, Step
from spacedock_worker.jobs.space_spec import unread_call_of
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.profiling.measured import Measured
from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.registry.entry import SpaceEntry

_WARM = ("running", "paused", "stopped")


class PlanPreview:
    """Looks at this host, its registry's limits and what was measured; gets, starts and calls nothing."""

    def __init__(
        self,
        settings: ContainerSettings,
        inspector: Inspector,
        inventory: Inventory,
        measures: ProfileStore | None = None,
    ) -> None:
        self._settings, self._inspector = settings, inspector
        self._inventory, self._measures = inventory, measures

    async def of_space(
        self, step: SpaceStep, request: JobRequest, repository: bytes | None
    ) -> tuple[dict[str, Any], str | None]:
        """What the Space's step would do, as plain JSON, and what could not be found out (None: nothing)."""
        found = await self._inspector.look(step.entry, repository)
        containers = found.status.containers
        container = next((state for state in _WARM if containers.get(state)), "none")
        row = _taken(step, "space") | {
            "image": await self._image_row(found, repository),
            "container": container,
            "quarantined_for": found.status.quarantined_for,
            "limits": self._limits(step.entry, request),
            **await _call_row(found, request),
            "expected": _expected(await self._measured(found.image), container),
        }
        return row, f"{step.entry.id}: {found.trouble}" if found.trouble else None

    def of_model(self, step: ModelStep, endpoint: ModelEndpoint, request: JobRequest) -> dict[str, Any]:
        """What the model's step would do, as plain JSON."""
        return _taken(step, "model") | {
            "degraded": step.degraded,
            "model": endpoint.model,
            "local": endpoint.local,
            "limits": {"timeout": request.timeout, "start_timeout": endpoint.load_timeout},
        }

    async def misfits(
        self, step: SpaceStep, requests: Sequence[JobRequest], repository: bytes | None
    ) -> list[str | None]:
        """What the Space's app has against each of these requests; nothing where that is not known here.

        A request that others would be asked if the Space cannot take it counts as taken.
        """
        found = await self._inspector.look(step.entry, repository)
        return await asyncio.to_thread(found.misfits, requests)

    async def _image_row(self, found: Inspection, repository: bytes | None) -> dict[str, Any]:
        entry, image = found.entry, found.image
        if image is None:
            return {"state": _how_to_get(entry, repository), "reference": entry.docker_image, "bytes": None}
        sizes = {one.id: one.size for one in await self._inventory.images()}
        return {"state": "here", "reference": image.reference, "bytes": sizes.get(image.id)}

    def _limits(self, entry: SpaceEntry, request: JobRequest) -> dict[str, Any]:
        sealed = request.privacy or not entry.network
        return {
            "memory": entry.memory or self._settings.memory,
            "cpus": entry.cpus or self._settings.cpus,
            "timeout": request.timeout,
            "start_timeout": entry.start_timeout or self._settings.start_timeout,
            "network": "sealed" if sealed else "bridge",
            "gpu": entry.gpu,
        }

    async def _measured(self, image: Image | None) -> Measured | None:
        if image is None or self._measures is None:
            return None
        return await asyncio.to_thread(self._measures.of, image.digest)


async def _call_row(found: Inspection, request: JobRequest) -> dict[str, Any]:
    """The endpoint and its inputs, as far as the app is known here; else what the entry says."""
    row = {"endpoint": request.endpoint or found.entry.endpoint, "mapping": None, "misfit": None}
    if not found.endpoints:
        return row
    try:
        name, inputs = await weighed(mapping_of, found.endpoints, unread_call_of(found.entry, request))
    except StepError as error:
        return row | {"misfit": str(error)}
    return row | {"endpoint": name, "mapping": [{"input": slot, "from": source} for slot, source in inputs]}


def skipped(item: Skip) -> dict[str, Any]:
    """A step that would not be taken, as plain JSON."""
    return {"tier": item.tier.value, "name": item.name, "taken": False, "reason": item.reason}


def _taken(step: Step, kind: str) -> dict[str, Any]:
    return {
        "tier": step.tier.value,
        "name": step.name,
        "kind": kind,
        "taken": True,
        "reason": step.reason,
        "degraded": False,
    }


def _how_to_get(entry: SpaceEntry, repository: bytes | None) -> str:
    if repository is None and entry.docker_image is not None and entry.revision is None:
        return "to pull"
    if repository is not None or entry.repository is not None:
        return "to build"
    return "to pull or build"


def _expected(measured: Measured | None, container: str) -> Mapping[str, float | None]:
    """Seconds, by what was measured of this image; None where nothing was."""
    if measured is None:
        return {"start": None, "call": None}
    start = 0.0 if container in ("running", "paused") else measured.start_p50
    return {"start": start, "call": measured.call_p50}
