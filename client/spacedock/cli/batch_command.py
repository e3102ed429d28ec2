"""Carrying a batch out by the command: shown while it runs, and summed up at its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from spacedock.batching.batch_options import BatchOptions, Guard
from spacedock.batching.batch_run import BatchRun
from spacedock.batching.checkpoint import state_dir
from spacedock.batching.reading import BeginningRead, LineSource
from spacedock.batching.results.line_index import LineName
from spacedock.batching.results.openai_lines import rows_beside, write_openai_lines
from spacedock.batching.results.results_file import InvalidLines, ResultsFile, held, seen
from spacedock.batching.results.saving import save_apart
from spacedock.batching.sources.source import Source
from spacedock.cli import preflight
from spacedock.cli.batch_progress import BatchProgress, ProgressStyle, summarise
from spacedock.cli.exit_codes import DEGRADED, FAILED, INTERRUPTED, STOPPED
from spacedock.cli.output.deliver import say_files_left
from spacedock.cli.output.plan import Rehearsal
from spacedock.cli.output.text import say, say_degraded, say_host_fault, say_how_to_go_on, write
from spacedock.client import Client
from spacedock.errors import QueueFullError, SpacedockError
from spacedock.result import JobResult
from spacedock.states import JobState

_STATES = {JobState.QUEUED: "in the queue", JobState.RUNNING: "running"}


class ResultsForm(StrEnum):
    """How results are written."""

    SPACEDOCK = "spacedock"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class BatchCommand:
    """A batch as the command asks for it; `options` lack what is called while it runs."""

    source: str
    opened: Source
    beginning: BeginningRead | None
    options: BatchOptions
    output: Path | None
    output_dir: Path | None
    progress: ProgressStyle
    form: ResultsForm
    callback: str | None

    @property
    def _rows(self) -> Path | None:
        """The results file; OpenAI's lines are written from it."""
        if self.output is None or self.form is ResultsForm.SPACEDOCK:
            return self.output
        return rows_beside(self.output)

    async def run(self, url: str | None) -> None:
        """Run the batch to its end, show how it goes, and end with the exit code that it comes to."""
        guard = Guard(allowed=self.options.allow_degraded, told=say_host_fault)
        errors = InvalidLines(self._rows) if self._rows else None
        async with self._made(url, guard, errors) as (run, client, meter):
            with meter:
                meter.tally = run.tally
                try:
                    async with _told_of_the_first(client, meter), aclosing(run.lines()) as lines:
                        async for _ in lines:
                            pass
                except asyncio.CancelledError:
                    meter.close()
                    going = run.tally.in_flight
                    jobs = "1 job goes on" if going == 1 else f"{going} jobs go on"
                    say(f"stopped watching; {jobs}. The same command picks up what is left.")
                    raise typer.Exit(INTERRUPTED) from None
                except QueueFullError:
                    meter.close()
                    done, total = f"{run.tally.total - run.tally.left:,}", f"{run.tally.total:,}"
                    say(f"{done} of {total} lines have their results; the same command goes on with the rest")
                    raise
            wrong = await self._write_openai(client)
        for remark in self.opened.remarks:
            say(remark)
        if errors is not None and not run.tally.invalid:
            errors.forget()
        summarise(run.tally, meter.started, self.output, errors.path if errors else None)
        if wrong and self.output is not None:
            say(f"errors: {_errors_beside(self.output)} has {wrong:,} line{'' if wrong == 1 else 's'}")
        self._end(run, guard, wrong - run.tally.invalid)

    async def _write_openai(self, client: Client) -> int:
        """Write OpenAI's lines, where they are asked for; returns how many are errors."""
        if self.output is None or self.form is not ResultsForm.OPENAI:
            return 0
        rows, errors = rows_beside(self.output), _errors_beside(self.output)
        return (await write_openai_lines(client, self.opened.lines(), rows, self.output, errors))[False]

    async def hand_over(self, url: str | None) -> None:
        """Hand all lines over to the queue, and print the batch's id."""
        async with self._made(url, Guard(allowed=True), None, wait=False) as (run, _, _):
            await run.hand_over()
        write(run.id)
        sent = run.tally.sent
        say(
            f"{sent:,} job{' is' if sent == 1 else 's are'} in the queue: `spacedock wait {run.id}` waits, "
            f"`spacedock results {run.id} -o FILE` fetches what they came to"
        )

    async def rehearse(self, url: str | None, *, json: bool) -> None:
        """Tell what would be done, and do none of it."""
        results = seen(self._rows) if self._rows else None
        rehearsal, client = Rehearsal(), Client(url)
        with TemporaryDirectory() as nowhere:
            run = self._run(client, results, Path(nowhere), self.options, Guard(allowed=True))
            with closing(run):
                await run.prepare(start=False, each=rehearsal.add)
        async with client:
            preflight.say_directories(rehearsal.spaces)
            await rehearsal.tell(client, json=json)

    @asynccontextmanager
    async def _made(
        self, url: str | None, guard: Guard, errors: InvalidLines | None, *, wait: bool = True
    ) -> AsyncIterator[tuple[BatchRun, Client, BatchProgress]]:
        client, meter = Client(url), BatchProgress(self.progress)
        async with AsyncExitStack() as stack:
            # Before anything is submitted: a place that takes no results is told while it is cheap.
            results = stack.enter_context(held(self._rows))

            async def connect(spaces: set[str]) -> None:
                await stack.enter_async_context(client)
                await preflight.check(client, spaces, wait=wait)

            async def save(name: LineName, result: JobResult) -> list[Path]:
                if self.output_dir is not None:
                    return await save_apart(client, result.output.files, self.output_dir, name.folder)
                if result.output.files and result.privacy and not self.options.keep:
                    say_files_left(result)
                return []

            async def sent(batch_id: str) -> None:
                if self.callback is not None:
                    await client.webhooks.of_batch(batch_id, self.callback)

            def invalid(number: int, problem: str, text: str) -> None:
                if errors is not None:
                    errors.add(number, problem, text)
                else:
                    say(f"left out: {self.opened.unit} {number}: {problem}")

            options = replace(
                self.options,
                save=save,
                tell=say,
                submitted=meter.note,
                sent=sent,
                connect=connect,
                invalid=invalid,
            )
            if errors is not None:
                stack.callback(errors.close)
            yield self._run(client, results, state_dir(os.environ), options, guard), client, meter

    def _run(
        self,
        client: Client,
        results: ResultsFile | None,
        state: Path,
        options: BatchOptions,
        guard: Guard,
    ) -> BatchRun:
        source: LineSource = self.beginning or self.opened
        place = f"- {self.beginning.identity}" if self.beginning else str(Path(self.source).resolve())
        where = str(self.output.resolve()) if self.output else "-"
        identity = "\n".join([place, where, repr(sorted(options.defaults.items()))])
        return BatchRun(client, source, results, (state, identity), options, options.batch_of(place), guard)

    def _end(self, run: BatchRun, guard: Guard, wrong: int) -> None:
        """Raise typer.Exit where the batch did not succeed as a whole."""
        tally = run.tally
        if guard.stopped:
            left = f"{tally.left} line{' has' if tally.left == 1 else 's have'}"
            again = "asks them again" if self.output else "asks all lines again, since there is no -o"
            say_how_to_go_on(left, again)
            raise typer.Exit(STOPPED)
        if run.stopped:
            say(f"stopped: {run.stopped}, and {tally.left:,} lines have no result. The same command goes on")
        elif not run.is_complete:
            say(f"ended at --limit {self.options.limit}: the same command sends the next lines")
        # An answer may be none of those that OpenAI's line can hold.
        if tally.has_failed or run.stopped or wrong:
            raise typer.Exit(FAILED)
        if tally.has_degraded and not self.options.allow_degraded:
            say_degraded()
            raise typer.Exit(DEGRADED)


def _errors_beside(output: Path) -> Path:
    return output.with_name(f"{output.stem}.errors.jsonl")


@asynccontextmanager
async def _told_of_the_first(client: Client, meter: BatchProgress) -> AsyncIterator[None]:
    """Let the progress tell what is done for the first line: its Space may have to be built first."""

    async def watch() -> None:
        first = await meter.first
        with suppress(SpacedockError):
            status = await client.status(first)
            meter.doing = status.message or status.waits_for or _STATES.get(status.state, "")
            async with aclosing(client.watch(first)) as events:
                async for event in events:
                    if event.stage is not None:
                        meter.doing = f"{event.name}: {event.message}"

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
