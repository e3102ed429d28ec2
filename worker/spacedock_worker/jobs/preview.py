"""What a plan's steps would find on this host and do there, told without doing any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from spacedock.request import JobRequest
from spacedock_worker.adapters.binding.choose import weighed
from spacedock_worker.adapters.binding.explain import mapping_of
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.containers.pool.view import PoolView, SpaceStatus
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.compatibility import misfits_of
from spacedock_worker.jobs.plan import ModelStep, Skip, SpaceStep, Step
from spacedock_worker.jobs.space_spec import source_of, unread_call_of
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.endpoints import EndpointStore
from spacedock_worker.state.image_policy import ImagePolicy

_WARM = ("running", "paused", "stopped")


class MeasuredImage(Protocol):
    """What was measured of an image here, in seconds; None where nothing was."""

    @property
    def start_p50(self) -> float | None:
        """A start from nothing to the first answer, at the median."""
        ...

    @property
    def call_p50(self) -> float | None:
        """A call, at the median."""
        ...


class ImageTimings(Protocol):
    """What was measured here, by image digest; blocks."""

    def of(self, digest: str) -> MeasuredImage | None:
        """The measures of that image; None where it has not run."""
        ...


class PlanPreview:
    """Looks at the images, the containers and the notes of this host; gets, starts and calls nothing."""

    def __init__(
        self,
        settings: ContainerSettings,
        images: Images,
        inventory: Inventory,
        pool_view: PoolView,
        policy: ImagePolicy,
        endpoints: EndpointStore,
        measures: ImageTimings | None = None,
    ) -> None:
        self._settings, self._images, self._inventory = settings, images, inventory
        self._pool_view, self._policy, self._endpoints, self._measures = (
            pool_view,
            policy,
            endpoints,
            measures,
        )

    async def of_space(
        self, step: SpaceStep, request: JobRequest, repository: bytes | None
    ) -> tuple[dict[str, Any], str | None]:
        """What the Space's step would do, as plain JSON, and what could not be found out (None: nothing)."""
        entry, trouble, image = step.entry, None, None
        try:
            image = await self._image(entry, repository)
        except (StepError, EngineRefusedError) as error:
            trouble = f"{entry.id}: {error}"
        status = self._pool_view.status().get(entry.id, SpaceStatus(entry.id))
        container = next((state for state in _WARM if status.containers.get(state)), "none")
        row = _taken(step, "space") | {
            "image": await self._image_row(entry, image, repository),
            "container": container,
            "quarantined_for": status.quarantined_for,
            "limits": self._limits(entry, request),
            **await self._call(entry, request, image),
            "expected": _expected(await self._measured(entry, image), container),
        }
        return row, trouble

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

        Nor is it told of a request that others would be asked if the Space cannot take it.
        """
        try:
            image = await self._image(step.entry, repository)
        except (StepError, EngineRefusedError):
            return []
        endpoints = self._endpoints.get(step.entry.app(image.digest)) if image is not None else None
        return await asyncio.to_thread(misfits_of, step.entry, endpoints, requests) if endpoints else []

    async def _image(self, entry: SpaceEntry, repository: bytes | None) -> Image | None:
        source = source_of(entry, repository)
        return await self._images.here(source if entry.own else self._policy.source(source))

    async def _image_row(
        self, entry: SpaceEntry, image: Image | None, repository: bytes | None
    ) -> dict[str, Any]:
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

    async def _call(self, entry: SpaceEntry, request: JobRequest, image: Image | None) -> dict[str, Any]:
        """The endpoint and its inputs, as far as the app is known here; else what the entry says."""
        unknown = {"endpoint": request.endpoint or entry.endpoint, "mapping": None, "misfit": None}
        endpoints = self._endpoints.get(entry.app(image.digest)) if image is not None else None
        if not endpoints:
            return unknown
        try:
            name, rows = await weighed(mapping_of, endpoints, unread_call_of(entry, request))
        except StepError as error:
            return {**unknown, "misfit": str(error)}
        return {
            "endpoint": name,
            "mapping": [{"input": slot, "from": source} for slot, source in rows],
            "misfit": None,
        }

    async def _measured(self, entry: SpaceEntry, image: Image | None) -> MeasuredImage | None:
        if image is None or self._measures is None:
            return None
        return await asyncio.to_thread(self._measures.of, image.digest)


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


def _expected(measured: MeasuredImage | None, container: str) -> Mapping[str, float | None]:
    """Seconds, by what was measured of this image; None where nothing was."""
    if measured is None:
        return {"start": None, "call": None}
    start = 0.0 if container in ("running", "paused") else measured.start_p50
    return {"start": start, "call": measured.call_p50}
