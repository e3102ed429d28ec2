"""The answers to `--dry-run` and `--verbose`: what a job would do here, and why; none of it is done."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError

from spacedock._stores.payloads import Payloads
from spacedock._wire.rpc import PlanOptions
from spacedock._wire.wire import describe
from spacedock.errors import BadRequestError
from spacedock.replies.host import (
    PlanCall,
    PlanExpected,
    PlanImage,
    PlanInput,
    PlanLimits,
    PlanReply,
    PlanRoute,
    PlanStep,
)
from spacedock.request import JobRequest
from spacedock_worker.adapters.binding.choose import weighed
from spacedock_worker.adapters.binding.explain import mapping_of
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.errors import StepError
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.inspection import Inspection, Inspector
from spacedock_worker.jobs.plan import ModelStep, Skip, SpaceStep, Step
from spacedock_worker.jobs.planner import PlannedJob, Planner
from spacedock_worker.jobs.routing import Route
from spacedock_worker.jobs.space_spec import unread_call_of
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.profiling.measured import Measured
from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.settings import WorkerSettings

_WARM = ("running", "paused", "stopped")


class PlanHandler:
    """Plans a request as a job of it would be, and says what each step would find; gets and runs nothing."""

    def __init__(
        self,
        planner: Planner,
        inspector: Inspector,
        inventory: Inventory,
        settings: WorkerSettings,
        measures: ProfileStore | None = None,
    ) -> None:
        self._planner, self._inspector, self._inventory = planner, inspector, inventory
        self._settings, self._measures = settings, measures

    async def answer(self, asked: Asked[PlanOptions]) -> PlanReply:
        """The plan as plain JSON. Raises BadRequestError and what `Planner.plan` raises."""
        request = asked.options.request
        try:
            alike = [_like(request, fields) for fields in asked.options.alike]
        except ValidationError as error:
            raise BadRequestError(f"plan: {describe(error)}") from error
        planned = await self._planner.plan(request, keep=False)
        repository = None
        if request.repository is not None:
            repository = await Payloads(asked.redis, self._settings.files).repository(request.repository)
        rows = await asyncio.gather(
            *(self._row(item, planned, request, repository) for item in planned.plan.chain)
        )
        first = planned.plan.chain[0] if planned.plan.chain else None
        misfits: list[str | None] = []
        if alike and isinstance(first, SpaceStep) and first.entry is planned.chosen:
            known = await self._inspector.look(first.entry, repository)
            misfits = await asyncio.to_thread(known.misfits, alike)
        return {
            "misfits": misfits,
            "route": _told(planned.route) if planned.route is not None else None,
            "steps": [row for row, _ in rows],
            "warnings": [warning for _, warning in rows if warning],
        }

    async def _row(
        self, item: Step | Skip, planned: PlannedJob, request: JobRequest, repository: bytes | None
    ) -> tuple[PlanStep, str | None]:
        """The step, and what could not be found out (None: nothing)."""
        if isinstance(item, Skip):
            return _skipped(item), None
        if isinstance(item, SpaceStep):
            mine = repository if item.entry is planned.chosen else None
            return await self._of_space(item, request, mine)
        return _of_model(item, planned.models[item.name], request), None

    async def _of_space(
        self, step: SpaceStep, request: JobRequest, repository: bytes | None
    ) -> tuple[PlanStep, str | None]:
        found = await self._inspector.look(step.entry, repository)
        containers = found.status.containers
        container = next((state for state in _WARM if containers.get(state)), "none")
        row: PlanStep = {
            **_taken(step, "space"),
            "image": await self._image_row(found, repository),
            "container": container,
            "quarantined_for": found.status.quarantined_for,
            "limits": self._limits(step.entry, request),
            **await _call_row(found, request),
            "expected": _expected(await self._measured(found.image), container),
        }
        return row, f"{step.entry.id}: {found.trouble}" if found.trouble else None

    async def _image_row(self, found: Inspection, repository: bytes | None) -> PlanImage:
        entry, image = found.entry, found.image
        if image is None:
            return {"state": _how_to_get(entry, repository), "reference": entry.docker_image, "bytes": None}
        sizes = {one.id: one.size for one in await self._inventory.images()}
        return {"state": "here", "reference": image.reference, "bytes": sizes.get(image.id)}

    def _limits(self, entry: SpaceEntry, request: JobRequest) -> PlanLimits:
        usual = self._settings.containers
        sealed = request.privacy or not entry.network
        return {
            "memory": entry.memory or usual.memory,
            "cpus": entry.cpus or usual.cpus,
            "timeout": request.timeout,
            "start_timeout": entry.start_timeout or usual.start_timeout,
            "network": "sealed" if sealed else "bridge",
            "gpu": entry.gpu,
        }

    async def _measured(self, image: Image | None) -> Measured | None:
        if image is None or self._measures is None:
            return None
        return await asyncio.to_thread(self._measures.of, image.digest)


def _of_model(step: ModelStep, endpoint: ModelEndpoint, request: JobRequest) -> PlanStep:
    return {
        **_taken(step, "model"),
        "degraded": step.degraded,
        "model": endpoint.model,
        "local": endpoint.local,
        "limits": {"timeout": request.timeout, "start_timeout": endpoint.load_timeout},
    }


async def _call_row(found: Inspection, request: JobRequest) -> PlanCall:
    """The endpoint and its inputs, as far as the app is known here; else what the entry says."""
    row: PlanCall = {
        "endpoint": request.endpoint or found.entry.endpoint,
        "mapping": None,
        "misfit": None,
    }
    if not found.endpoints:
        return row
    try:
        name, inputs = await weighed(mapping_of, found.endpoints, unread_call_of(found.entry, request))
    except StepError as error:
        return {**row, "misfit": str(error)}
    mapping: list[PlanInput] = [{"input": slot, "from": source} for slot, source in inputs]
    return {"endpoint": name, "mapping": mapping, "misfit": None}


def _skipped(item: Skip) -> PlanStep:
    """A step that would not be taken, as plain JSON."""
    return {"tier": item.tier.value, "name": item.name, "taken": False, "reason": item.reason}


def _taken(step: Step, kind: str) -> PlanStep:
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


def _expected(measured: Measured | None, container: str) -> PlanExpected:
    """Seconds, by what was measured of this image; None where nothing was."""
    if measured is None:
        return {"start": None, "call": None}
    start = 0.0 if container in ("running", "paused") else measured.start_p50
    return {"start": start, "call": measured.call_p50}


def _like(request: JobRequest, fields: dict[str, Any]) -> JobRequest:
    """Another request of the same kind, by the fields in which it differs."""
    return JobRequest.model_validate({**dict(request), **fields})


def _told(route: Route) -> PlanRoute:
    return {"tier": route.tier.value, "reasons": list(route.reasons)}
