"""Jobs over HTTP: submit, list, look, wait for the result, cancel, retry."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from spacedock._wire.view.provenance import Provenance
from spacedock._wire.view.tokens import Scope
from spacedock.errors import BadRequestError, ResultTimeoutError
from spacedock.events import JobStatus, JobSummary
from spacedock.files import FileRef
from spacedock.pipelines.submitting import checked
from spacedock.prepare import hub_id_of
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedockd.http.access import principal_of, whose
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.intake import ReceivedForm, json_of
from spacedockd.http.native.operation import FORM, JSON, ApiOperation, answered

MAX_WAIT_SECONDS = 3600.0
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?=$|[,;\s])")
_NO_DIGEST = "0" * 64
_STRUCTURED = frozenset({"inputs", "optional_inputs", "labels"})


class JobBody(JobRequest):
    """A job as it is submitted. Files are named by what `POST /files` has answered, never by a path."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobsQuery(BaseModel):
    """Which jobs: in this state, for this Space, of this batch (the beginning of its id), with these labels
    (each NAME=VALUE); the newest `limit`. A pipeline's run is one job: with `steps` those of its steps are
    there too, and with `run` (its id) they alone.
    """

    state: JobState | None = None
    space: str | None = Field(default=None, max_length=300)
    batch: str | None = Field(default=None, min_length=1, max_length=100)
    label: list[Annotated[str, Field(max_length=401, pattern="^[^=]+=")]] = Field(default=[], max_length=20)
    run: str | None = Field(default=None, min_length=1, max_length=100)
    steps: bool = False
    limit: int = Field(default=100, ge=1, le=1000)


class ResultQuery(BaseModel):
    """How many seconds to wait for the end, and whether the result of a private job stays after this."""

    wait: float = Field(default=0.0, ge=0, le=MAX_WAIT_SECONDS)
    keep: bool = False


async def _submit(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Submit a job; wait for its result where Prefer says so (wait=SECONDS)."""
    job = await _posted(context, request)
    job_id = await submitted(context, request, job)
    wait = _WAIT.search(request.headers.get("Prefer", ""))
    headers = {"Location": f"/jobs/{job_id}"}
    if wait is None:
        return answered(await context.client.status(job_id), 202, headers)
    seconds = min(float(wait[1]), MAX_WAIT_SECONDS)
    headers["Preference-Applied"] = f"wait={seconds:.0f}"
    return await _result_within(context, job_id, seconds, keep=False, headers=headers)


async def submitted(context: DoorContext, request: web.Request, job: JobRequest) -> str:
    """Submit the job under the request's Idempotency-Key. Raises HttpError if another job has the key."""
    key = request.headers.get("Idempotency-Key", job.idempotency_key)
    job = keyed(request, job, key)
    job_id = await context.client.submit_prepared(job, name=whose(request))
    if key is not None and not (await context.client.provenance(job_id)).asked_by(job):
        why = f"the Idempotency-Key is that of job {job_id}, which asks something else: send another key"
        raise HttpError(422, "idempotency_key_reused", why)
    return job_id


def keyed(request: web.Request, job: JobRequest, key: str | None) -> JobRequest:
    """The job under its key: what one token calls its job is not another one's."""
    if key is None:
        return job
    token = principal_of(request).id
    return JobRequest.model_validate({**dict(job), "idempotency_key": f"{token}:{key}" if token else key})


async def _posted(context: DoorContext, request: web.Request) -> JobRequest:
    """The job of a request, whose files are stored. Raises BadRequestError, HttpError, ValidationError."""
    if request.content_type != FORM:
        return await _job(await context.intake.json(request))
    async with context.intake.form(request) as form:
        refs = [FileRef(name=one.name, sha256=_NO_DIGEST, size=one.size) for one in form.files]
        # Checked before anything is stored.
        job = await _job({**_fields(form), "files": refs})
        vault = uuid.uuid4().hex if job.privacy else None
        stored = [await context.store(one, vault) for one in form.files]
        return job.model_copy(update={"files": tuple(stored)})


async def _job(fields: object) -> JobRequest:
    if isinstance(fields, dict) and isinstance(space := fields.get("space"), str):
        fields = {**fields, "space": hub_id_of(space)}
    job = JobBody.model_validate(fields)
    # A pipeline takes long to check.
    return job if job.pipeline is None else await asyncio.to_thread(checked, job)


def _fields(form: ReceivedForm) -> dict[str, Any]:
    """The job's fields: as texts, those that are mappings as JSON, inputs also as `input` NAME=VALUE."""
    fields: dict[str, Any] = {}
    for name, text in form.fields:
        if name == "input":
            key, sign, value = text.partition("=")
            if not sign:
                raise BadRequestError("the field 'input' is NAME=VALUE, such as steps=4")
            fields.setdefault("inputs", {})[key] = value
        elif name in fields:
            raise BadRequestError(f"the field '{name}' is there twice")
        else:
            fields[name] = json_of(text, f"the field '{name}'") if name in _STRUCTURED else text
    return fields


async def _result_within(
    context: DoorContext,
    job_id: str,
    seconds: float,
    *,
    keep: bool,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The result, or where the job stands when the time is over."""
    if seconds > 0 or (await context.client.status(job_id)).state.terminal:
        try:
            result = await context.client.result(job_id, wait=seconds or None, keep=keep)
            return answered(result, headers=headers)
        except ResultTimeoutError:
            pass
    return answered(await context.client.status(job_id), 202, headers)


async def _list(context: DoorContext, request: web.Request, query: JobsQuery) -> web.Response:
    """List the newest jobs."""
    found = await context.client.jobs(
        state=query.state,
        space=query.space,
        batch=query.batch,
        labels=dict(label.split("=", 1) for label in query.label),
        run=query.run,
        steps=query.steps,
        limit=query.limit,
    )
    return answered(found)


async def _status(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Say where a job stands."""
    return answered(await context.client.status(request.match_info["job_id"]))


async def _result(context: DoorContext, request: web.Request, query: ResultQuery) -> web.Response:
    """Give a job's result, or where it stands if it has not ended in time."""
    return await _result_within(context, request.match_info["job_id"], query.wait, keep=query.keep)


async def _provenance(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Say what a job was asked, who answered with what, and when."""
    return answered(await context.client.provenance(request.match_info["job_id"]))


async def _cancel(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Cancel a job: it ends without an answer, and what computes it is stopped."""
    job_id = request.match_info["job_id"]
    await context.client.cancel(job_id)
    return answered(await context.client.status(job_id))


async def _retry(context: DoorContext, request: web.Request, query: BaseModel) -> web.Response:
    """Submit a job once more that failed, was cancelled or is dead."""
    job_id = request.match_info["job_id"]
    await context.client.status(job_id)
    (again,) = await context.client.retry(job_id)
    return answered(await context.client.status(again), 202, {"Location": f"/jobs/{again}"})


_ONE = "/jobs/{job_id}"
OPERATIONS = (
    ApiOperation(
        "POST",
        "/jobs",
        _submit,
        {200: JobResult, 202: JobStatus},
        Scope.SUBMIT,
        bodies={JSON: JobBody, FORM: JobBody},
        headers=("Prefer", "Idempotency-Key"),
    ),
    ApiOperation("GET", "/jobs", _list, {200: list[JobSummary]}, query=JobsQuery),
    ApiOperation("GET", _ONE, _status, {200: JobStatus}),
    ApiOperation("GET", f"{_ONE}/result", _result, {200: JobResult, 202: JobStatus}, query=ResultQuery),
    ApiOperation("GET", f"{_ONE}/provenance", _provenance, {200: Provenance}),
    ApiOperation("DELETE", _ONE, _cancel, {200: JobStatus}, Scope.SUBMIT),
    ApiOperation("POST", f"{_ONE}/retry", _retry, {202: JobStatus}, Scope.SUBMIT),
)
