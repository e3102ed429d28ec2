"""The jobs of a batch that are in flight: at most so many, each until its result is dealt with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from spacedock.batching.batch_client import BatchClient
from spacedock.batching.reading import Unsent
from spacedock.errors import JobNotFoundError, ResultDeletedError
from spacedock.hosts import Host
from spacedock.result import JobResult

_FOR_EACH_CONTAINER, _LEAST, _MOST = 32, 64, 2000
_MOST_WEIGHT = 2**26
_CLOSING_SECONDS = 0.5


def fitting(hosts: list[Host]) -> int:
    """How many jobs in flight keep these hosts busy: some for each container, so that none waits for us."""
    containers = sum(max(1, host.containers) for host in hosts if host.alive)
    return min(_MOST, max(_LEAST, _FOR_EACH_CONTAINER * containers))


class Window:
    """Follows jobs until they end; `open` are those whose results nobody has dealt with, with their lines.

    It has room for `size` jobs, and fewer of large ones: for 64 MB of texts, or 512 MB of files.
    """

    def __init__(self, client: BatchClient, size: int) -> None:
        self._client, self.size = client, size
        self.open: dict[str, Unsent] = {}
        self._weight = 0
        self._ended: asyncio.Queue[JobResult | str | Exception | None] = asyncio.Queue()
        self._freed = asyncio.Event()
        self._waits: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether no result waits to be dealt with."""
        return self._ended.empty()

    async def room(self, lines: Sequence[Unsent]) -> None:
        """Wait until there is room for the jobs of these lines."""
        weight = sum(line.weight for line in lines)
        while self.open and (len(self.open) + len(lines) > self.size or self._weight + weight > _MOST_WEIGHT):
            await self.one_less()

    async def one_less(self) -> None:
        """Wait until a result was dealt with."""
        self._freed.clear()
        await self._freed.wait()

    def follow(self, jobs: Mapping[str, Unsent]) -> None:
        """Follow jobs that were submitted."""
        self.open.update((job_id, line.bare) for job_id, line in jobs.items())
        self._weight += sum(line.weight for line in jobs.values())
        wait = asyncio.create_task(self._collect(list(jobs)))
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)

    async def ended(self, feeder: asyncio.Task[None]) -> AsyncGenerator[tuple[str, Unsent, JobResult | None]]:
        """Yield each job as it ends, until `feeder` is done and none is open; then raise what it raised.

        None stands for a result that was deleted, or is kept no longer.
        """
        feeder.add_done_callback(lambda _: self._ended.put_nowait(None))
        while self.open or not feeder.done():
            ended = await self._ended.get()
            if isinstance(ended, Exception):
                raise ended
            if ended is None:
                continue
            job_id, result = (ended, None) if isinstance(ended, str) else (ended.id, ended)
            yield job_id, self.open[job_id], result
            self._weight -= self.open.pop(job_id).weight
            self._freed.set()
        if not feeder.cancelled():
            feeder.result()

    async def close(self, feeder: asyncio.Task[None]) -> None:
        """Follow no more; the jobs go on. Twice is safe."""
        await cancelled({feeder, *self._waits})

    async def _collect(self, job_ids: list[str]) -> None:
        left = dict.fromkeys(job_ids)
        try:
            while left:
                gone: tuple[str, ...] = ()
                try:
                    async for result in self._client.results(list(left), keep=True):
                        del left[result.id]
                        self._ended.put_nowait(result)
                except ResultDeletedError as error:
                    gone = error.job_ids
                except JobNotFoundError as error:
                    gone = (error.job_id,)
                for job_id in gone:
                    del left[job_id]
                    self._ended.put_nowait(job_id)
        except Exception as error:  # noqa: BLE001 - whoever waits for the results is told
            self._ended.put_nowait(error)


async def cancelled(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended; what they raise does not matter any more."""
    while tasks:
        for task in tasks:
            task.cancel()
        # redis-py swallows a cancellation while it connects (asyncio.wait_for of Python 3.11).
        done, tasks = await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)
        await asyncio.gather(*done, return_exceptions=True)
