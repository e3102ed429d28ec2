"""One batch of OpenAI's API: validated, carried out, and its results written as OpenAI's lines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from time import time
from typing import Any

from spacedock.batching.batch_options import BatchOptions
from spacedock.batching.batch_run import BatchRun
from spacedock.batching.checkpoint import Checkpoint, digest_of
from spacedock.batching.results.openai_lines import write_openai_lines
from spacedock.batching.results.results_file import held
from spacedock.batching.sources.line import BadLine, BadLinesError, BatchLine
from spacedock.batching.sources.row import SourceOptions
from spacedock.batching.sources.source import Source, open_source
from spacedock.batching.tally import Tally
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.openai.model_names import ApiRoute, ModelNames
from spacedock.openai.registry_names import registry_names
from spacedock_worker.atomic_write import write_whole
from spacedockd.http.openai.records import Records, add_file

UNFINISHED = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
_MOST_LINES, _MOST_PROBLEMS = 50_000, 100
_TELL_SECONDS = 1.0
_LOST = {
    "cancelled": ("batch_cancelled", "the batch was cancelled before this request was answered"),
    "expired": ("batch_expired", "the batch expired before this request was answered"),
    "completed": ("result_deleted", "the result was deleted in the queue before it was read"),
}


class BatchWork:
    """Carries out the batch of that id, from wherever it stands; `run` may be called again after trouble.

    Beside its record lie the names that its models had when it began, and the results as they come.
    """

    def __init__(
        self, client: Client, files: Records, records: Records, id_: str, models_as: Mapping[str, str]
    ) -> None:
        self._client, self._files, self._records, self._id = client, files, records, id_
        self._models_as = models_as
        self._input = files.path(records.get(id_)["input_file_id"], ".jsonl")
        self._rows = records.path(id_, ".rows.jsonl")
        self._checkpoints = records.path(id_, ".checkpoints")
        self._told = 0.0

    async def run(self) -> None:
        """Bring the batch to its end. Raises what the client's methods raise."""
        if not self._input.exists():
            self._fail([(None, "the input file is not here any more")])
            return
        if self._status == "validating":
            await self._validate()
        if self._status not in UNFINISHED:
            return
        if self._status == "cancelling" and "in_progress_at" not in self._records.get(self._id):
            # Its file may be one that cannot be read, and nothing was sent.
            self._enter("cancelled")
            return
        source = await self._source()
        if self._status == "in_progress":
            await self._carry_out(source)
        if self._status == "finalizing":
            await self._finish(source, "completed")
        elif self._status == "cancelling":
            await self._stop()
            await self._finish(source, "cancelled")

    @property
    def _status(self) -> str:
        return str(self._records.get(self._id)["status"])

    def _enter(self, status: str, **more: Any) -> None:
        record = self._records.get(self._id)
        self._records.put({**record, "status": status, f"{status}_at": int(time()), **more})

    async def _source(self) -> Source:
        """The input file, read with the names of models as they were at the beginning."""
        names = self._records.path(self._id, ".names")
        if not names.exists():
            route = ApiRoute(self._records.get(self._id)["endpoint"])
            found = await registry_names(self._client, self._models_as, routes=[route])
            write_whole(names, found.dumped(), 0o600, durable=True)
        source = await asyncio.to_thread(open_source, str(self._input), SourceOptions())
        # In lists, which others read too, the batch is called as its file was, not by a path of this host.
        name = self._files.get(self._records.get(self._id)["input_file_id"])["filename"]
        models = ModelNames.loaded(names.read_bytes())
        return replace(source.with_models(models, local=False), name=name)

    async def _validate(self) -> None:
        try:
            endpoint = self._records.get(self._id)["endpoint"]
            total, problems = await asyncio.to_thread(_checked, await self._source(), endpoint)
        except BadRequestError as error:
            # Its words name a path of this host.
            total, problems = 0, [(None, str(error).replace(str(self._input), "the input file"))]
        if problems:
            self._fail(problems)
        else:
            self._enter("in_progress", request_counts={"total": total, "completed": 0, "failed": 0})

    def _fail(self, problems: list[tuple[int | None, str]]) -> None:
        base = {"code": "invalid_request", "param": None}
        rows = [{**base, "line": line, "message": text} for line, text in problems]
        self._enter("failed", errors={"object": "list", "data": rows})

    async def _carry_out(self, source: Source) -> None:
        left = self._records.get(self._id)["expires_at"] - time()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._run(source)
        except BadLinesError as error:
            self._fail([(None, problem) for problem in error.problems[:_MOST_PROBLEMS]])
        except TimeoutError:
            await self._stop()
            await self._finish(source, "expired")
        else:
            self._enter("finalizing")

    async def _run(self, source: Source) -> None:
        options = BatchOptions(defaults={"batch": True}, allow_degraded=True)
        with held(self._rows) as results:
            checkpoint = (self._checkpoints, self._id)
            run = BatchRun(self._client, source, results, checkpoint, options, batch=self._id)
            async with aclosing(run.lines()) as lines:
                async for _ in lines:
                    self._tell(run.tally)

    def _tell(self, tally: Tally) -> None:
        """Keep the counts, at most once a second: the last ones are counted at the end."""
        if time() - self._told >= _TELL_SECONDS:
            self._told = time()
            record = self._records.get(self._id)
            failed = tally.failed + tally.failed_before
            counts = {"completed": tally.already + tally.came - tally.failed, "failed": failed}
            self._records.put({**record, "request_counts": {**record["request_counts"], **counts}})

    async def _stop(self) -> None:
        """Cancel the jobs that have not ended."""
        with suppress(JobNotFoundError):
            await self._client.cancel_batch(Checkpoint(self._checkpoints, self._id).id)

    async def _finish(self, source: Source, status: str) -> None:
        """Write the output and error files, and end the batch."""
        paths = {what: self._records.path(self._id, f".{what}") for what in ("output", "error")}
        counts = await write_openai_lines(
            self._client, source.lines(), self._rows, paths["output"], paths["error"], _LOST[status]
        )
        kept = {}
        for (what, path), is_result in zip(paths.items(), (True, False), strict=True):
            if counts[is_result]:
                name = f"{self._id}_{what}.jsonl"
                # The same id again, where the daemon dies here and does this once more.
                id_ = f"file-{digest_of(self._id, what, digits=32)}"
                kept[f"{what}_file_id"] = add_file(self._files, path, name, "batch_output", id_)["id"]
        told = {"total": counts.total(), "completed": counts[True], "failed": counts[False]}
        self._enter(status, request_counts=told, **kept)


def _checked(source: Source, endpoint: str) -> tuple[int, list[tuple[int | None, str]]]:
    """How many lines there are, and what is wrong with them, by their numbers. Raises BadRequestError."""
    ids: dict[str, int] = {}
    problems: list[tuple[int | None, str]] = []
    for line in source.lines():
        if problem := _problem(line, ApiRoute(endpoint), ids):
            problems.append((line.number, problem))
        if len(problems) == _MOST_PROBLEMS or len(ids) > _MOST_LINES:
            break
    if len(ids) > _MOST_LINES:
        problems.append((None, f"a batch has {_MOST_LINES:,} requests at most: split the file"))
    return len(ids), problems


def _problem(line: BatchLine | BadLine, route: ApiRoute, ids: dict[str, int]) -> str | None:
    if isinstance(line, BadLine):
        return line.problem
    if line.asked is None or line.asked.anthropic:
        return "no request of OpenAI's batch format: custom_id, method, url and body"
    if line.asked.route is not route:
        return f"its url is {line.asked.route.value}, and the batch's endpoint {route.value}"
    if line.fields.get("privacy"):
        return "it asks for privacy, and a batch's results are kept in files: ask it alone"
    if (first := ids.setdefault(str(line.id), line.number)) != line.number:
        return f"its custom_id '{line.id}' is also that of line {first}: give each line its own"
    return None
