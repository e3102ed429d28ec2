"""All that is known of one job: where its answer comes from, enough to ask again, and its story so far."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from spacedock._wire import jobs, keys, stream, wire
from spacedock._wire.connection import answer
from spacedock._wire.jobs import status_of
from spacedock._wire.view import listing
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.events import Event, JobSummary
from spacedock.pipelines.run import job_id_of_step, plans_of
from spacedock.request import Fallback, JobRequest, Tier, digests
from spacedock.result import JobResult, Output

_NOT_TOLD = {"idempotency_key", "callback", "batch", "batch_id", "keep_for", "restart"}
"""Fields of a request that do not change its answer."""


class Provenance(BaseModel):
    """A job's request and its result, whose output has the files alone: `output` has digests of the rest.

    `request` has the fields that were given; None of a private job, of which only the digests of what it was
    asked are kept (`asked`). Times are UTC. `again` is the command that asks the same; `client` the version
    that wrote this. A pipeline's run has its `steps`, by name, each with its jobs.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    client: str = Field(default_factory=lambda: version("hf-spacedock"))
    submitted: datetime
    ended: datetime | None
    request: dict[str, Any] | None
    asked: dict[str, str]
    again: str | None
    result: JobResult
    output: dict[str, str]
    steps: dict[str, list[Provenance]]

    def asked_by(self, request: JobRequest) -> bool:
        """Whether a request asks the same, as far as that is known of a private job."""
        if self.request is None:
            # Of a private job that no Space was asked for, nothing is known.
            return not self.asked or self.asked == request.digests
        return self.request == _told(request)


async def provenance_of(redis: Redis, job_id: str) -> Provenance:
    """What a job was asked, who answered with what, and when, as far as it is known now.

    Raises JobNotFoundError, WireError.
    """
    row: Mapping[bytes, bytes] = await answer(redis.hgetall(keys.job(job_id)))
    if b"state" not in row:
        raise JobNotFoundError(job_id)
    status = status_of(job_id, row[b"state"], row.get(b"submitted"), None, row.get(b"deleted"))
    raw, asked = row.get(b"result"), row.get(b"request")
    result = wire.decode(JobResult, wire.repaired(raw)) if raw else JobResult(id=job_id, state=status.state)
    request = wire.decode_bounded(JobRequest, asked, wire.MAX_REQUEST_BYTES) if asked else None
    given, private = request, b"private" in row
    if private:
        given, result = None, result.model_copy(update={"privacy": True})
    total, output = result.timings.total, result.output
    return Provenance(
        submitted=datetime.fromtimestamp(status.submitted, UTC),
        ended=datetime.fromtimestamp(status.submitted + total, UTC) if total else None,
        request=_told(given) if given else None,
        asked=request.digests if request else result.origin.asked if result.origin else {},
        again=command_of(given) if given else None,
        result=result.model_copy(update={"output": Output(files=output.files, truncated=output.truncated)}),
        output=digests({"text": output.text, "data": output.data}),
        steps=await _steps(redis, job_id, request, row),
    )


async def _steps(
    redis: Redis, run_id: str, request: JobRequest | None, row: Mapping[bytes, bytes]
) -> dict[str, list[Provenance]]:
    """The jobs of a run's steps; those that are not kept are left out."""
    found: dict[str, list[Provenance]] = {}
    names = list((request.pipeline or {}).get("steps", {})) if request else []
    for number, plan in sorted(plans_of(row).items()):
        jobs = found.setdefault(names[number], [])
        for index in sorted(set(range(plan.total)) - plan.skipped):
            try:
                jobs.append(await provenance_of(redis, job_id_of_step(run_id, number, index)))
            except JobNotFoundError:
                continue
    return found


def _told(request: JobRequest) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_TOLD)


def command_of(request: JobRequest) -> str | None:
    """The command that asks the same, with files by their names; None for what no command asks."""
    if request.explain:
        return None
    pipeline = request.pipeline
    words = ["spacedock", "run", *([request.prompt] if request.prompt else [])]
    if pipeline is not None:
        words = ["spacedock", "pipeline", "run", str(pipeline.get("name"))]
    space = f"./{request.repository.name.removesuffix('.tar')}" if request.repository else request.space
    values = {"--space": space, "--category": request.category, "--endpoint": request.endpoint}
    values |= {"--tier": request.tier.value if request.tier is not Tier.AUTO else None}
    values |= {"--timeout": f"{request.timeout:g}" if request.timeout != 300.0 else None}
    words += [word for option, value in values.items() if value is not None for word in (option, value)]
    for name, value in request.inputs.items():
        for text in _texts(value):
            words += ["--input", f"{name}={text}"]
    for name, value in request.optional_inputs.items():
        words += ["--optional-input", f"{name}={json.dumps(value) if _is_json(value) else value}"]
    for ref in request.files if pipeline is None else ():
        words += ["--file", ref.name]
    words += ["--no-fallback"] if request.fallback is Fallback.NONE else []
    return shlex.join([*words, *(["--performance-first"] if request.performance_first else [])])


def _texts(value: Any) -> list[str]:
    """A value as options give it: files by their names, each on its own."""
    some = value if isinstance(value, list) and value and all(map(_is_file, value)) else [value]
    return [
        one["name"] if _is_file(one) else one if isinstance(one, str) else json.dumps(one) for one in some
    ]


def _is_json(value: Any) -> bool:
    """Whether a value has to be written as JSON, so that it is read as what it is: "3" is no number."""
    try:
        if isinstance(value, str):
            json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and {"name", "sha256"} <= value.keys()


class JobStory(BaseModel):
    """What is known of a job now. `events` are those that are kept; `result` is None until it has ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job: JobSummary
    events: tuple[Event, ...] = ()
    result: JobResult | None = None


async def story_of(redis: Redis, job_id: str) -> JobStory:
    """What became of a job so far: `job`, its `events` as far as they are kept, and its `result`.

    Reading it deletes nothing. Raises JobNotFoundError, and BadRequestError for a private job.
    """
    found = await listing.summaries(redis, [job_id])
    if not found:
        raise JobNotFoundError(job_id)
    if await answer(redis.hexists(keys.job(job_id), "private")) or found[0].message == jobs.DELETED:
        raise BadRequestError(f"no log is kept of job {job_id}: it runs in privacy mode")
    events: list[Event] = []
    last = await stream.before(redis, found[0].submitted)
    while page := await stream.past(redis, last):
        last = page[-1].id
        events += [event for event in page if event.job_id == job_id]
    result = next(iter(await jobs.results(redis, [job_id])), None)
    return JobStory(job=found[0], events=tuple(events), result=result)
