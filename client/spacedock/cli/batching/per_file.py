"""`spacedock run --batch-mode` with several files: each is a job of its own, their answers come in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from spacedock.batching.batch_options import Guard
from spacedock.cli.host_faults import call_off, say_how_to_go_on
from spacedock.cli.output.deliver import Delivery, follow
from spacedock.cli.output.plan import say_plan, show_plan
from spacedock.cli.output.text import heading, say, write
from spacedock.cli.output.verbose import follow_told
from spacedock.cli.preflight import check
from spacedock.client import Client
from spacedock.files import Payload
from spacedock.prepare import prepare
from spacedock.request import JobRequest
from spacedock.result import JobResult


@dataclass(frozen=True, slots=True)
class Each:
    """One prompt for each of several files; `guard` stops them on a host that starts no Space."""

    prompt: str
    files: tuple[Path, ...]
    space: str | None
    fields: dict[str, Any]
    guard: Guard

    def check(self) -> None:
        """Read every file once before any is submitted. Raises BadRequestError and its kinds."""
        for path in self.files:
            self.prepared(path)

    def prepared(self, path: Path) -> tuple[JobRequest, list[Payload]]:
        """The job of one file."""
        return prepare(self.prompt, (path,), self.space, self.fields)

    async def show_plans(self, client: Client, *, json: bool) -> None:
        """Print what would be done with each file."""
        for path in self.files:
            if not json:
                write(heading(path))
            await show_plan(client, *self.prepared(path), json=json)

    async def submit(self, client: Client, *, verbose: bool, wait: bool) -> list[str]:
        """Submit the jobs, one file in memory at a time; returns their ids."""
        job_ids: list[str] = []
        for path in self.files:
            request, payloads = self.prepared(path)
            if not job_ids:
                await check(client, {request.space} if request.space else set(), wait=wait)
            if verbose:
                say(heading(path))
                await say_plan(client, request, payloads)
            job_ids.append(await client.submit_prepared(request, payloads))
        return job_ids

    async def hand(
        self, client: Client, job_ids: Sequence[str], handing: Delivery, *, verbose: bool
    ) -> list[JobResult]:
        """Wait for the answers and hand them over in the order of the files.

        What the guard withholds is not among them; the first one that it does withhold cancels the rest.
        """
        results: list[JobResult] = []
        for number, (path, job_id) in enumerate(zip(self.files, job_ids, strict=True), 1):
            if verbose:
                say(heading(path))
            try:
                result = await (follow_told if verbose else follow)(client, job_id)
            except typer.Exit:
                if rest := job_ids[number:]:
                    say(f"so do those of the next files: {', '.join(rest)}")
                raise
            was_stopped = self.guard.stopped
            if self.guard.withholds(result):
                if not was_stopped:
                    await call_off(client, job_ids[number:])
                continue
            await handing.hand(client, result, path)
            results.append(result)
        if self.guard.stopped:
            say_how_to_go_on(_files(len(job_ids) - len(results)), "asks for all files again")
        return results


def _files(count: int) -> str:
    return f"{count} file{' has' if count == 1 else 's have'}"
