"""From a pipeline and a user's values to its run: the methods of clients, and files that are read."""

from __future__ import annotations

import asyncio
import csv
import io
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from redis.asyncio import Redis

from spacedock._wire.connection import told_as_ours
from spacedock.errors import BadRequestError
from spacedock.files import FileRef, Payload, read_payload, set_apart
from spacedock.pipelines.checking import check
from spacedock.pipelines.model import InputType, Pipeline
from spacedock.pipelines.run import PipelineRun, is_private, json_of, pipeline_of, read
from spacedock.pipelines.values import files_in
from spacedock.prepare import request_of
from spacedock.request import JobRequest, Restart
from spacedock.result import JobResult

GivenFile = Path | str | Payload | FileRef

_MADE = {"pipeline", "inputs", "files", "restart"}
"""Fields of a run's request that its pipeline and its inputs make up."""


class _Runner(Protocol):
    """What the methods need of a client."""

    url: str
    _redis: Redis

    async def submit_prepared(self, request: JobRequest, payloads: Sequence[Payload] = ()) -> str: ...

    async def submit_pipeline(
        self, pipeline: Pipeline, inputs: Mapping[str, Any] = ..., /, **options: Any
    ) -> str: ...

    async def result(self, job_id: str, *, wait: float | None = None, keep: bool = False) -> JobResult: ...


class PipelineMethods:
    """The part of a client that is about pipelines; `cancel`, `result` and `watch` take a run's id too."""

    async def submit_pipeline(
        self: _Runner,
        pipeline: Pipeline,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        restart: str | None = None,
        from_step: str | None = None,
        **options: Any,
    ) -> str:
        """Submit a run of a pipeline; returns its id, which is a job's.

        `inputs` are its inputs by name: a file is a path of this machine, `files` a list of them or a
        directory, `csv` the path of a table or its rows. With `restart`, the id of an earlier run, steps that
        would ask the same again keep the results that they had there; with `from_step` that step and all
        after it run again in any case. `options` are fields of `JobRequest` such as `priority`, `batch_id`,
        `idempotency_key`, `keep_for`, `labels`. Raises BadRequestError and its kinds.
        """
        request, payloads = await asyncio.to_thread(
            prepared, pipeline, inputs or {}, restart_of(restart, from_step), options
        )
        return await self.submit_prepared(request, payloads)

    async def run_pipeline(
        self: _Runner,
        pipeline: Pipeline,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        wait: float | None = None,
        keep: bool = False,
        **options: Any,
    ) -> JobResult:
        """Submit a run as `submit_pipeline` does, and wait for its result as `result` does.

        `output.data` has the pipeline's outputs by name, `output.files` the files among them.
        """
        return await self.result(
            await self.submit_pipeline(pipeline, inputs or {}, **options), wait=wait, keep=keep
        )

    async def pipeline_run(self: _Runner, run_id: str) -> PipelineRun:
        """How a run and its steps stand. Raises JobNotFoundError, BadRequestError for another kind of job."""
        with told_as_ours(self.url):
            return await read(self._redis, run_id)


def restart_of(run_id: str | None, step: str | None) -> Restart | None:
    """What a run takes over. Raises BadRequestError."""
    if run_id is None and step is not None:
        raise BadRequestError(f"to go on from step '{step}' name the run that has the results before it")
    return Restart(run=run_id, step=step) if run_id is not None else None


def prepared(
    pipeline: Pipeline,
    inputs: Mapping[str, Any],
    restart: Restart | None,
    options: Mapping[str, Any],
) -> tuple[JobRequest, list[Payload]]:
    """The request for a run of that pipeline, and its files, read. Raises BadRequestError and its kinds."""
    payloads, vault = list[Payload](), uuid.uuid4().hex if is_private(pipeline) else None
    values = {name: _value(pipeline, name, value, vault, payloads) for name, value in inputs.items()}
    return run_of(pipeline, values, restart, options, payloads)


def run_of(
    pipeline: Pipeline,
    values: Mapping[str, Any],
    restart: Restart | None,
    options: Mapping[str, Any],
    payloads: Sequence[Payload] = (),
) -> tuple[JobRequest, list[Payload]]:
    """The request for a run with these inputs, whose files are stored, or at hand. Raises BadRequestError."""
    check(pipeline)
    if options.get("privacy") and not is_private(pipeline):
        raise BadRequestError(f"pipeline {pipeline.name} is not private: write `privacy: true` at its steps")
    if restart is not None and restart.step is not None and restart.step not in pipeline.steps:
        raise BadRequestError(
            f"pipeline {pipeline.name} has no step '{restart.step}'; its steps: {', '.join(pipeline.steps)}"
        )
    given = pipeline.given(values)
    fields = {
        **options,
        "pipeline": json_of(pipeline),
        "inputs": given,
        "files": tuple(dict.fromkeys(files_in(given))),
        "privacy": is_private(pipeline),
        "restart": restart,
    }
    return request_of(fields, [*payloads])


def checked(request: JobRequest) -> JobRequest:
    """A request as somebody wrote it; of a pipeline's run as `run_of` makes it. Raises BadRequestError."""
    if request.pipeline is None:
        return request
    options = {name: getattr(request, name) for name in request.model_fields_set - _MADE}
    return run_of(pipeline_of(request.pipeline), request.inputs, request.restart, options)[0]


def _value(pipeline: Pipeline, name: str, value: Any, vault: str | None, payloads: list[Payload]) -> Any:
    """An input's value, its files read, among `payloads`. Raises BadRequestError and its kinds."""
    kind = pipeline.inputs[name].type if name in pipeline.inputs else None
    if kind is InputType.FILE and isinstance(value, GivenFile):
        return _file(value, vault, payloads)
    if kind is InputType.FILES and isinstance(value, Path | str) and Path(value).is_dir():
        value = sorted(path for path in Path(value).iterdir() if path.is_file())
    if kind is InputType.FILES and isinstance(value, Iterable):
        some = [value] if isinstance(value, GivenFile) else value
        return tuple(_file(one, vault, payloads) if isinstance(one, GivenFile) else one for one in some)
    if kind is InputType.CSV and isinstance(value, Path | str):
        return rows_of(read_payload(Path(value)))
    return value


def _file(given: GivenFile, vault: str | None, payloads: list[Payload]) -> FileRef:
    if isinstance(given, FileRef):
        return given
    payload = given if isinstance(given, Payload) else read_payload(Path(given))
    if vault is not None:
        (payload,) = set_apart([payload], vault)
    payloads.append(payload)
    return payload.ref


def rows_of(table: Payload) -> list[dict[str, str]]:
    """The rows of a CSV file, by its first line's names. Raises BadRequestError."""
    try:
        text = table.data.decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequestError(f"{table.ref.name} cannot be read as CSV: {error}") from None
    if any(None in row or None in row.values() for row in rows):
        raise BadRequestError(f"{table.ref.name}: a row has more or fewer cells than the first line")
    return rows
