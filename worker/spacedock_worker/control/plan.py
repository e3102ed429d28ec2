"""The answers to `--dry-run` and `--verbose`: what a job would do here, and why."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError

from spacedock._stores.payloads import Payloads
from spacedock._wire.rpc import PlanOptions, Reply
from spacedock._wire.wire import describe
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.jobs.plan import Skip, SpaceStep, Step
from spacedock_worker.jobs.planner import PlannedJob, Planner
from spacedock_worker.jobs.preview import PlanPreview, skipped
from spacedock_worker.jobs.routing import Route


class PlanHandler:
    """Lays a request out as a job of it would be, and tells each step; runs and writes nothing."""

    def __init__(self, planner: Planner, preview: PlanPreview, files: str | None = None) -> None:
        self._planner, self._preview, self._files = planner, preview, files

    async def answer(self, asked: Asked[PlanOptions]) -> Reply:
        """The plan as plain JSON. Raises BadRequestError and what `Planner.plan` raises."""
        request = asked.options.request
        try:
            alike = [_like(request, fields) for fields in asked.options.alike]
        except ValidationError as error:
            raise BadRequestError(f"plan: {describe(error)}") from error
        planned = await self._planner.plan(request, keep=False)
        repository = None
        if request.repository is not None:
            repository = await Payloads(asked.redis, self._files).repository(request.repository)
        rows = await asyncio.gather(
            *(self._row(item, planned, request, repository) for item in planned.plan.chain)
        )
        first = planned.plan.chain[0] if planned.plan.chain else None
        misfits: list[str | None] = []
        if isinstance(first, SpaceStep) and first.entry is planned.chosen:
            misfits = await self._preview.misfits(first, alike, repository)
        data: dict[str, Any] = {
            "misfits": misfits,
            "route": _told(planned.route) if planned.route is not None else None,
            "steps": [row for row, _ in rows],
            "warnings": [warning for _, warning in rows if warning],
        }
        return Reply(data=data)

    async def _row(
        self, item: Step | Skip, planned: PlannedJob, request: JobRequest, repository: bytes | None
    ) -> tuple[dict[str, Any], str | None]:
        if isinstance(item, Skip):
            return skipped(item), None
        if isinstance(item, SpaceStep):
            mine = repository if item.entry is planned.chosen else None
            return await self._preview.of_space(item, request, mine)
        return self._preview.of_model(item, planned.models[item.name], request), None


def _like(request: JobRequest, fields: dict[str, Any]) -> JobRequest:
    """Another request of the same kind, by the fields in which it differs."""
    return JobRequest.model_validate({**dict(request), **fields})


def _told(route: Route) -> dict[str, Any]:
    return {"tier": route.tier.value, "reasons": list(route.reasons)}
