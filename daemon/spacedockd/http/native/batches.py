"""Batches over HTTP: submit, list, look, cancel, retry; their jobs are listed by `/jobs?batch=`."""

from __future__ import annotations

import asyncio
import uuid

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from spacedock._wire.view.tokens import Scope
from spacedock.events import BatchStatus
from spacedock.pipelines.submitting import checked
from spacedock.states import JobState
from spacedockd.http.access import whose
from spacedockd.http.context import DoorContext
from spacedockd.http.native.jobs import JobBody, keyed
from spacedockd.http.native.operation import JSON, ApiOperation, answered


class BatchBody(BaseModel):
    """Jobs that are one batch, and what it is called in lists. With the `id` of a batch they join it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{4,100}$")
    label: str = Field(default="", max_length=200)
    jobs: list[JobBody] = Field(min_length=1, max_length=1000)


class Submitted(BaseModel):
    """A batch with the ids of the jobs that were submitted just now, in their order."""

    batch: BatchStatus
    jobs: list[str]


class ListQuery(BaseModel):
    """How many at most, the newest first."""

    limit: int = Field(default=100, ge=1, le=1000)


async def _submit(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Submit many jobs as one batch, which has its turn among others as a whole."""
    body = BatchBody.model_validate(await context.intake.json(request, _MOST_BYTES))
    batch_id = body.id or uuid.uuid4().hex
    # Pipelines take long to check.
    read = await asyncio.to_thread(lambda: [checked(job) for job in body.jobs])
    given = [job.model_copy(update={"batch_id": batch_id}) for job in read]
    jobs = [keyed(request, job, job.idempotency_key) for job in given]
    ids = await context.client.submit_many(jobs, label=body.label, name=whose(request))
    batch = await context.client.batch_status(batch_id)
    return answered(Submitted(batch=batch, jobs=ids), 202, {"Location": f"/batches/{batch_id}"})


async def _list(context: DoorContext, request: web.Request, query: ListQuery) -> web.Response:
    """List the newest batches."""
    return answered(await context.client.batches(limit=query.limit))


async def _status(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Say how the jobs of a batch stand."""
    return answered(await context.client.batch_status(request.match_info["batch_id"]))


async def _cancel(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Cancel the jobs of a batch; tells the state of each."""
    return answered(await context.client.cancel_batch(await _id(context, request)))


async def _retry(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Submit those jobs of a batch once more that failed, were cancelled or are dead; tells the new ids."""
    return answered(await context.client.retry(await _id(context, request)), 202)


async def _id(context: DoorContext, request: web.Request) -> str:
    """The whole id of the batch, which must not be a job's. Raises JobNotFoundError."""
    return (await context.client.batch_status(request.match_info["batch_id"])).id


_MOST_BYTES = 2**22
_ONE = "/batches/{batch_id}"
OPERATIONS = (
    ApiOperation("POST", "/batches", _submit, {202: Submitted}, Scope.SUBMIT, bodies={JSON: BatchBody}),
    ApiOperation("GET", "/batches", _list, {200: list[BatchStatus]}, query=ListQuery),
    ApiOperation("GET", _ONE, _status, {200: BatchStatus}),
    ApiOperation("DELETE", _ONE, _cancel, {200: dict[str, JobState]}, Scope.SUBMIT),
    ApiOperation("POST", f"{_ONE}/retry", _retry, {202: list[str]}, Scope.SUBMIT),
)
