"""Runs of pipelines over HTTP: submit, look, cancel; a run is a job, so `/jobs` knows its result."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from spacedock._wire.lanes import Priority
from spacedock._wire.retention import KeepFor
from spacedock._wire.view.tokens import Scope
from spacedock._wire.view.webhooks import Callback
from spacedock.pipelines.run import PipelineRun, pipeline_of
from spacedock.pipelines.submitting import run_of
from spacedock.request import JobRequest, Label, Restart
from spacedockd.http.context import DoorContext
from spacedockd.http.native.jobs import submitted
from spacedockd.http.native.operation import JSON, ApiOperation, answered


class RunBody(BaseModel):
    """A run of a pipeline, which is written as in its file (docs/pipelines.md).

    A file among the `inputs` is what `POST /files` has answered, never a path. With `restart` steps that
    would ask the same again keep what they gave in an earlier run. The other fields are those of a job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: dict[str, Any]
    inputs: dict[str, Any] = Field(default_factory=dict)
    restart: Restart | None = None
    priority: Priority = Priority.NORMAL
    keep_for: KeepFor | None = None
    callback: Callback | None = None
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=20)


async def _submit(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Submit a run of a pipeline."""
    body = RunBody.model_validate(await context.intake.json(request))
    options = {name: getattr(body, name) for name in ("priority", "keep_for", "callback", "labels")}

    def read() -> JobRequest:
        return run_of(pipeline_of(body.pipeline), body.inputs, body.restart, options)[0]

    # A large pipeline takes long to check.
    job = await asyncio.to_thread(read)
    run_id = await submitted(context, request, job)
    run = await context.client.pipeline_run(run_id)
    return answered(run, 202, {"Location": f"/pipelines/runs/{run_id}"})


async def _status(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Say how a run and its steps stand."""
    return answered(await context.client.pipeline_run(request.match_info["run_id"]))


async def _cancel(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Cancel a run: what runs is stopped, and nothing more begins."""
    run_id = request.match_info["run_id"]
    await context.client.pipeline_run(run_id)
    await context.client.cancel(run_id)
    return answered(await context.client.pipeline_run(run_id))


_ONE = "/pipelines/runs/{run_id}"
OPERATIONS = (
    ApiOperation(
        "POST",
        "/pipelines/runs",
        _submit,
        {202: PipelineRun},
        Scope.SUBMIT,
        bodies={JSON: RunBody},
        headers=("Idempotency-Key",),
    ),
    ApiOperation("GET", _ONE, _status, {200: PipelineRun}),
    ApiOperation("DELETE", _ONE, _cancel, {200: PipelineRun}, Scope.SUBMIT),
)
