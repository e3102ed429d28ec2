"""Where an answer comes from: what a job was asked, who answered with what, and when; enough to ask again."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock._wire.jobs import status_of
from spacedock.errors import JobNotFoundError
from spacedock.files import FileRef
from spacedock.pipelines.run import job_id_of_step, plans_of
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import AnsweredBy, Attempt, JobResult, Origin, Output, Timings
from spacedock.states import JobState

_NOT_TOLD = {"idempotency_key", "callback", "batch", "batch_id", "keep_for", "restart"}
"""Fields of a request that do not change its answer."""


class OutputDigests(BaseModel):
    """The SHA-256 of an answer's text and of its data (as JSON with sorted keys), and its files."""

    model_config = ConfigDict(frozen=True)

    text: str | None = None
    data: str | None = None
    files: tuple[FileRef, ...] = ()


class Provenance(BaseModel):
    """A job's request, answer and attempts, without the answer itself.

    `request` has the fields that were given; None of a private job, of which only the digests of what it was
    asked are kept (`asked`). Times are UTC. `again` is the command that asks the same; `client` the version
    that wrote this. A pipeline's run has its `steps`, by name, each with its jobs.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    job: str
    state: JobState
    submitted: datetime
    ended: datetime | None = None
    request: dict[str, Any] | None = None
    asked: dict[str, str] = Field(default_factory=dict)
    answered_by: AnsweredBy | None = None
    degraded: bool = False
    origin: Origin | None = None
    attempts: tuple[Attempt, ...] = ()
    timings: Timings = Timings()
    output: OutputDigests = OutputDigests()
    client: str = Field(default_factory=lambda: version("hf-spacedock"))
    again: str | None = None
    steps: dict[str, list[Provenance]] = Field(default_factory=dict)

    def asked_by(self, request: JobRequest) -> bool:
        """Whether a request asks the same, as far as that is known of a private job."""
        return (self.request is None or self.request == _told(request)) and self.asked == request.digests


async def provenance_of(redis: Redis, job_id: str) -> Provenance:
    """The provenance of a job, as far as it is known now. Raises JobNotFoundError, WireError."""
    row: Mapping[bytes, bytes] = await answer(redis.hgetall(keys.job(job_id)))
    if b"state" not in row:
        raise JobNotFoundError(job_id)
    status = status_of(job_id, row[b"state"], row.get(b"submitted"), None, row.get(b"deleted"))
    raw, asked = row.get(b"result"), row.get(b"request")
    result = wire.decode(JobResult, wire.repaired(raw)) if raw else JobResult(id=job_id, state=status.state)
    request = wire.decode_bounded(JobRequest, asked, wire.MAX_REQUEST_BYTES) if asked else None
    private = b"private" in row
    given = None if request is None or private else _told(request)
    ended = status.submitted + result.timings.total
    return Provenance(
        job=job_id,
        state=status.state,
        submitted=_utc(status.submitted),
        ended=_utc(ended) if result.timings.total else None,
        request=given,
        asked=request.digests if request else result.origin.asked if result.origin else {},
        answered_by=result.answered_by,
        degraded=result.degraded,
        origin=result.origin.model_copy(update={"asked": {}}) if result.origin else None,
        attempts=result.attempts,
        timings=result.timings,
        output=_digests(result.output),
        again=command_of(request) if request is not None and given is not None else None,
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
    if request.explain or request.optional_inputs:
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


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and {"name", "sha256"} <= value.keys()


def _digests(output: Output) -> OutputDigests:
    data = None if output.data is None else json.dumps(output.data, sort_keys=True)
    return OutputDigests(text=_sha256(output.text), data=_sha256(data), files=output.files)


def _sha256(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
