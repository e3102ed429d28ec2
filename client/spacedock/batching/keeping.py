"""Keeping what a batch comes to: in its results file, and no longer in the queue than that needs it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from spacedock.batching.batch_client import BatchClient
from spacedock.batching.batch_options import BatchOptions
from spacedock.batching.reading import Unsent
from spacedock.batching.results.line_index import LineIndex, ResultRow
from spacedock.batching.results.results_file import ResultsFile, row_of
from spacedock.errors import NotConnectedError, RefusedError, WireError
from spacedock.result import JobResult

_KEPT_RESULTS, _FORGOTTEN_AT_ONCE = 10_000, 250
"""So many written results of a batch stay in the queue; of a larger one the older are in its file alone."""
_SYNC_SECONDS, _IDLE_SYNC_SECONDS = 1.0, 0.1


class Keeper:
    """Writes results as they come, and deletes jobs that nobody needs in the queue any more."""

    def __init__(
        self,
        client: BatchClient,
        results: ResultsFile | None,
        options: BatchOptions,
        index: LineIndex,
        batch: str,
    ) -> None:
        self._client, self._results, self._options = client, results, options
        self._index, self._batch = index, batch
        self._written: deque[str] = deque()
        self._synced = monotonic()

    async def load(self) -> None:
        """Note in the index what the results file has. Raises BadRequestError."""
        if self._results is not None:
            await asyncio.to_thread(self._results.load, self._index, self._batch)

    async def keep(self, unsent: Unsent, result: JobResult, run: str) -> tuple[ResultRow, list[Path]]:
        """Write a result, asked by that run; returns its row and the paths of its files that were saved."""
        saved = await self._save(unsent, result)
        row = unsent.name.fields | {"prompt": unsent.request.prompt} | result.model_dump(mode="json")
        row |= {"run": run} | ({"saved": [str(path) for path in saved]} if saved else {})
        if self._results is not None:
            self._results.write(row)
        noted = row_of(row, self._batch)
        self._index.add_row(unsent.name.identity, noted)
        await self._let_go(result, is_saved=bool(saved))
        return noted, saved

    async def settle(self, *, idle: bool) -> None:
        """Bring results to the disk from time to time, and let go of the oldest of very many."""
        if monotonic() - self._synced < (_IDLE_SYNC_SECONDS if idle else _SYNC_SECONDS):
            return
        await self.sync()
        while len(self._written) > _KEPT_RESULTS:
            count = min(_FORGOTTEN_AT_ONCE, len(self._written) - _KEPT_RESULTS)
            await self._forget([self._written.popleft() for _ in range(count)], note=False)

    async def sync(self) -> None:
        """Bring all results to the disk."""
        if self._results is not None:
            await asyncio.to_thread(self._results.sync)
        self._synced = monotonic()

    async def forget_private(self, job_ids: list[str]) -> None:
        """Delete private jobs whose results an earlier run wrote; empties the list."""
        while job_ids:
            await self._forget(job_ids[:_FORGOTTEN_AT_ONCE], note=True)
            del job_ids[:_FORGOTTEN_AT_ONCE]

    async def tidy(self) -> None:
        """Leave one result for each line in the file."""
        if self._results is not None:
            try:
                await asyncio.to_thread(self._results.tidy, self._index)
            except OSError as error:
                why = error.strerror or error
                self._options.tell(f"{self._results.path} keeps what earlier tries came to: {why}")

    async def _save(self, unsent: Unsent, result: JobResult) -> list[Path]:
        if self._options.save is None:
            return []
        try:
            return await self._options.save(unsent.name, result)
        except WireError as error:
            # Its text is there all the same; asked again, it would fail again.
            self._options.tell(f"line {unsent.name.number}: its files could not be saved: {error}")
            return []

    async def _let_go(self, result: JobResult, *, is_saved: bool) -> None:
        """Delete a private job whose line is written; note others, to be deleted once there are too many.

        A job whose files are still only in the queue stays there.
        """
        if self._options.keep or (result.output.files and not is_saved):
            return
        if result.privacy:
            # What is deleted here cannot be had again.
            await self.sync()
            await self._forget([result.id], note=True)
        elif self._results is not None and self._results.path is not None:
            self._written.append(result.id)

    async def _forget(self, job_ids: Sequence[str], *, note: bool) -> None:
        try:
            await self._client.forget(*job_ids, note=note)
        except (NotConnectedError, RefusedError) as error:
            if note:
                self._options.tell(f"the result could not be deleted, and goes after an hour: {error}")
