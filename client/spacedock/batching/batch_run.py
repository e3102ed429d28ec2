"""Running a batch: lines are sent as there is room, results written as they come, and none is asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spacedock.batching.app_check import AppCheck
from spacedock.batching.batch_client import BatchClient
from spacedock.batching.batch_options import BatchOptions, Guard
from spacedock.batching.checkpoint import Checkpoint
from spacedock.batching.keeping import Keeper
from spacedock.batching.line_request import RequestMaker
from spacedock.batching.reading import CHUNK_BYTES, BatchReader, LineSource, Unsent
from spacedock.batching.results.line_index import LineIndex, LineName, ResultRow
from spacedock.batching.results.results_file import ResultsFile
from spacedock.batching.sending import Sender, in_thread
from spacedock.batching.sources.line import BadLinesError
from spacedock.batching.tally import Tally
from spacedock.batching.window import Window, cancelled, fitting
from spacedock.errors import BadRequestError, JobNotFoundError, RefusedError
from spacedock.files import Payload
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState

_MOST_PROBLEMS, _HELD = 10_000, 10_000
_MEND_OR_SKIP = "Mend these lines, or leave them out by --skip-invalid"

OnLine = Callable[[Unsent, list[Payload]], None]


@dataclass(frozen=True, slots=True)
class FinishedLine:
    """A line of a batch that has ended: what people know it by, what it asked, and what came."""

    name: LineName
    request: JobRequest
    result: JobResult
    saved: tuple[Path, ...] = ()


class BatchRun:
    """A batch on its way: iterate over `lines` to carry it out; `tally` tells how it goes.

    A result goes to `results`, if there is such a file, before its line is yielded. What has a result there
    is not sent again, and what was sent before a crash is found again by the `checkpoint`: a directory, and
    what makes it the same batch. Several batches may share a results file; `batch` tells them apart there.
    Whoever stops to iterate leaves the jobs in flight to the queue; the next run picks them up.
    """

    def __init__(
        self,
        client: BatchClient,
        source: LineSource,
        results: ResultsFile | None,
        checkpoint: tuple[Path, str],
        options: BatchOptions,
        batch: str,
        guard: Guard | None = None,
    ) -> None:
        self._client, self._source, self._results, self._options = client, source, results, options
        self._guard = guard or Guard(allowed=options.allow_degraded)
        self._checkpoint = checkpoint
        self._batch, self._index, self.tally = batch, LineIndex(), Tally()
        self._maker = maker = RequestMaker(options.defaults)
        judges = (self._wanted, self._note_kept, self._note_invalid)
        self._reader = BatchReader(source, maker, self._index, batch, *judges)
        self._sender = Sender(client, source.name, self._reader, maker, self.tally, options)
        self._sender.rereads = source.rereadable
        self._problems: list[str] = []
        self._keeper = Keeper(client, results, options, self._index, batch)
        self._unwanted: list[str] = []
        self.is_complete = True
        """Whether all lines that were to be sent have ended."""
        self.stopped = ""
        """Why the batch was stopped, if it was."""

    @property
    def id(self) -> str:
        """The batch's id in the queue, once it has begun."""
        return self._book.id

    def close(self) -> None:
        """Remove the index; whoever iterates over `lines` or calls `hand_over` need not. Twice is safe."""
        self._index.close()

    async def lines(self) -> AsyncGenerator[FinishedLine]:
        """Carry the batch out; yields each line as it ends, once its result is written.

        Raises BadLinesError before anything is sent, BadRequestError, and what the client's methods raise.
        """
        try:
            if not await self.prepare():
                await self._keeper.tidy()
                return
            window = Window(self._client, await self._in_flight())
            feeder = asyncio.create_task(self._sender.feed(window, (self._book, self._retry)))
            try:
                async for job_id, unsent, result in window.ended(feeder):
                    self.tally.in_flight = len(window.open)
                    finished = await self._take(unsent, result)
                    if finished is not None:
                        yield finished
                        await self._stop_if_due(window, feeder, job_id)
                    elif self._guard.stopped:
                        await self._stop(window, feeder, job_id, "this host starts no Space")
                    await self._keeper.settle(idle=window.idle)
                self.tally.in_flight = 0
            finally:
                await window.close(feeder)
                await self._keeper.sync()
            self.is_complete = self._sender.exhausted and not self.stopped
            if self.is_complete:
                self._forget_checkpoints()
            if self._source.rereadable or self._sender.exhausted:
                await self._keeper.tidy()
        finally:
            self.close()

    async def hand_over(self) -> None:
        """Send all lines at once and wait for none; `wait` and `results` fetch them later, from anywhere.

        Raises what `lines` raises, and QueueFullError where the queue has no room for all.
        """
        try:
            if await self.prepare():
                await self._sender.hand_over((self._book, self._retry))
        finally:
            self.close()

    async def prepare(self, *, start: bool = True, each: OnLine | None = None) -> bool:
        """Read what the results file has, and check all lines of a source that can be read twice.

        Returns whether there are lines to send; only then `connect` is called. A Space that lines name is
        started for the check, unless not `start`; `each` is called with each line and the Space's directory
        that it brings along. Raises BadLinesError with all that is wrong.
        """
        words = self._options.again.words
        if words and (self._results is None or self._results.path is None):
            raise BadRequestError("--retry needs the results file of an earlier run: name it by -o")
        await self._keeper.load()
        place, identity = self._checkpoint
        self._book = Checkpoint(place, identity)
        self._retry = Checkpoint(place, f"{identity}\n{words}") if words else self._book
        if not self._source.rereadable:
            await self._options.connect(set())
            return True
        check, held = AppCheck(self._client, self._options.tell, start=start), list[Unsent]()
        is_connected, weight = False, 0
        async for chunk in in_thread(self._reader.first(files=False)):
            if each is not None:
                for unsent in chunk:
                    each(unsent, self._maker.repository(unsent.request))
            held += () if self._problems else chunk
            weight += sum(one.weight for one in chunk)
            self.tally.total = self._reader.lines
            if held and (len(held) >= _HELD or weight > CHUNK_BYTES):
                await self._check(check, held, connect=not is_connected)
                is_connected, weight = True, 0
        self.tally.total = self._reader.lines
        if self._problems:
            raise BadLinesError(self._source.name, self._problems, _MEND_OR_SKIP)
        if held:
            await self._check(check, held, connect=not is_connected)
            is_connected = True
        if problems := await check.problems():
            raise BadLinesError(self._source.name, problems)
        return is_connected

    async def _check(self, check: AppCheck, held: list[Unsent], *, connect: bool) -> None:
        """Hold lines against their apps. Few are held back: what is wrong without an app is told first."""
        if connect:
            await self._options.connect({one.request.space for one in held if one.request.space})
        await self._keeper.forget_private(self._unwanted)
        for unsent in held:
            request = unsent.request
            await check.add(unsent.name.number, request, self._maker.repository(request))
        held.clear()

    def _wanted(self, row: ResultRow) -> bool:
        # A line that this retry has asked before it was interrupted is not asked once more.
        return self._options.again.wants(row) and row.run != self._retry.id

    def _note_kept(self, row: ResultRow) -> None:
        self.tally.add_before(row)
        if row.private and self._book.resumed and not self._options.keep:
            # An earlier run wrote it, and had no time to delete it.
            self._unwanted.append(row.job_id)

    def _note_invalid(self, number: int, problem: str, text: str) -> None:
        self.tally.invalid += 1
        if self._options.skip_invalid:
            self._options.invalid(number, problem, text)
        elif not self._source.rereadable:
            raise BadRequestError(
                f"{self._source.name}: {self._source.unit} {number}: {problem}. The lines before it are run; "
                "mend it, then run the same command again, or leave such lines out with --skip-invalid"
            )
        elif len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(f"{self._source.unit} {number}: {problem}")

    async def _in_flight(self) -> int:
        if self._options.in_flight is not None:
            return self._options.in_flight
        with suppress(RefusedError):
            return fitting(await self._client.hosts())
        return fitting([])

    async def _take(self, unsent: Unsent, result: JobResult | None) -> FinishedLine | None:
        """Keep what a line came to; None where there is nothing, or it stays out."""
        if result is None:
            self.tally.lost.append(unsent.name.number)
            return None
        if self._guard.withholds(result) or (self.stopped and result.state is JobState.CANCELLED):
            return None
        row, saved = await self._keeper.keep(unsent, result, self._retry.id)
        self.tally.add(row, result)
        return FinishedLine(unsent.name, unsent.request, result, tuple(saved))

    async def _stop_if_due(self, window: Window, feeder: asyncio.Task[None], job_id: str) -> None:
        most, tally = self._options.max_failures, self.tally
        if most is not None and most.reached(tally.failed, tally.came):
            await self._stop(
                window, feeder, job_id, f"{tally.failed} line{'s' if tally.failed > 1 else ''} failed"
            )

    async def _stop(self, window: Window, feeder: asyncio.Task[None], job_id: str, why: str) -> None:
        """Send nothing more, and cancel what is in flight or on its way: the next run asks it anew."""
        if self.stopped:
            return
        self.stopped = why
        await cancelled({feeder})
        # Before anything is cancelled: the next run asks by new jobs, whatever becomes of this one.
        self._forget_checkpoints()
        # The last first: those that run end when none is left to take their place.
        for open_id in reversed([*window.open, *self._sender.sending]):
            if open_id != job_id:
                with suppress(JobNotFoundError):
                    await self._client.cancel(open_id)
        await self._options.sent(self._book.id)

    def _forget_checkpoints(self) -> None:
        self._book.finish()
        self._retry.finish()
