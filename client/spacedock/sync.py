"""The blocking twin of the client, for batch scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from spacedock._wire.rpc import OnProgress, Reply
from spacedock.client import Client
from spacedock.events import BatchStatus, Event, JobStatus, JobSummary
from spacedock.files import FileRef, Payload
from spacedock.hosts import Host
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.spaces import Spaces
from spacedock.states import JobState

RunBlocking = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine to its end, and gives what it returns."""


class SyncSpaces:
    """`Spaces` for code without asyncio: the same methods, each blocking until it is done."""

    def __init__(self, spaces: Spaces, wait: RunBlocking) -> None:
        self._spaces, self._wait = spaces, wait

    def list(self, *, status: bool = False) -> Reply:
        """All Spaces; see `Spaces.list`."""
        reply: Reply = self._wait(self._spaces.list(status=status))
        return reply

    def show(self, name: str) -> dict[str, Any]:
        """One Space's entry; see `Spaces.show`."""
        return self._told(self._spaces.show(name))

    def add(
        self,
        name: str,
        entry: dict[str, Any],
        repository: Payload | None = None,
        *,
        replace: bool = False,
    ) -> dict[str, Any]:
        """Add a Space, or change one; see `Spaces.add`."""
        return self._told(self._spaces.add(name, entry, repository, replace=replace))

    def remove(self, name: str) -> dict[str, Any]:
        """Remove a Space, its containers and its cache; see `Spaces.remove`."""
        return self._told(self._spaces.remove(name))

    def search(self, query: str, category: str | None = None, limit: int = 20) -> dict[str, Any]:
        """The Spaces that words find, here and on the Hub; see `Spaces.search`."""
        return self._told(self._spaces.search(query, category, limit))

    def discover(self, category: str, limit: int = 20) -> dict[str, Any]:
        """The Spaces of a category, here and on the Hub; see `Spaces.discover`."""
        return self._told(self._spaces.discover(category, limit))

    def about(self, name: str) -> dict[str, Any]:
        """What the Hub says of a Space; see `Spaces.about`."""
        return self._told(self._spaces.about(name))

    def recommend(
        self, text: str = "", *, files: Iterable[Path | str] = (), **options: Any
    ) -> dict[str, Any]:
        """The Spaces that suit a task, the best first; see `Spaces.recommend`."""
        return self._told(self._spaces.recommend(text, files=files, **options))

    def validate(
        self, name: str, *, deep: bool = False, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Whether a Space can run on the host; see `Spaces.validate`."""
        return self._told(self._spaces.validate(name, deep=deep, on_progress=on_progress))

    def profile(self, name: str) -> dict[str, Any]:
        """What was measured of a Space; see `Spaces.profile`."""
        return self._told(self._spaces.profile(name))

    def _told(self, asking: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        told: dict[str, Any] = self._wait(asking)
        return told


T = TypeVar("T")


class SyncClient:
    """`Client` for code without asyncio: the same methods, each blocking until it is done.

    Use it as `with SyncClient() as client:`, from one thread. Errors are those of `Client`.
    """

    def __init__(self, url: str | None = None) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._url = url
        self._closed = False

    def __enter__(self) -> Self:
        try:
            self._client = self._runner.run(self._open())
        except BaseException:
            self._runner.close()
            raise
        self.spaces = SyncSpaces(self._client.spaces, self._wait)
        return self

    async def _open(self) -> Client:
        return await self._stack.enter_async_context(Client(self._url))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()
            self._closed = True

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def submit(
        self, prompt: str = "", *, files: Iterable[Path | str] = (), space: str | None = None, **options: Any
    ) -> str:
        """Submit one job and return its id; see `Client.submit`."""
        return self._wait(self._client.submit(prompt, files=files, space=space, **options))

    def submit_many(self, requests: Iterable[JobRequest | str], *, label: str = "") -> list[str]:
        """Submit many jobs and return their ids, in order; see `Client.submit_many`."""
        return self._wait(self._client.submit_many(requests, label=label))

    def plan(
        self,
        request: JobRequest,
        payloads: Sequence[Payload] = (),
        *,
        alike: Sequence[JobRequest] = (),
    ) -> dict[str, Any]:
        """What a worker would do with this request, and why; see `Client.plan`."""
        return self._wait(self._client.plan(request, payloads, alike=alike))

    def run(
        self, prompt: str = "", *, wait: float | None = None, keep: bool = False, **options: Any
    ) -> JobResult:
        """Submit one job and wait for its result; see `Client.run`."""
        return self._wait(self._client.run(prompt, wait=wait, keep=keep, **options))

    def result(self, job_id: str, *, wait: float | None = None, keep: bool = False) -> JobResult:
        """Wait for a job's result; see `Client.result`."""
        return self._wait(self._client.result(job_id, wait=wait, keep=keep))

    def results(self, job_ids: Iterable[str], *, keep: bool = False) -> Iterator[JobResult]:
        """Yield the results of these jobs as they end; see `Client.results`."""
        return self._each(self._client.results(job_ids, keep=keep))

    def watch(self, name: str) -> Iterator[Event]:
        """Yield the events of a job or a batch until it ends; see `Client.watch`."""
        return self._each(self._client.watch(name))

    def events(self, *, after: int | None = None) -> Iterator[Event]:
        """Yield the events of all jobs as they come; see `Client.events`."""
        return self._each(self._client.events(after=after))

    def _each(self, stream: AsyncGenerator[T]) -> Iterator[T]:
        try:
            while (item := self._wait(_next(stream))) is not None:
                yield item
        finally:
            # A stream that outlives the client was closed with it.
            if not self._closed:
                self._wait(stream.aclose())

    def status(self, job_id: str) -> JobStatus:
        """Where a job stands; see `Client.status`."""
        return self._wait(self._client.status(job_id))

    def cancel(self, job_id: str) -> JobState:
        """Cancel a job; see `Client.cancel`."""
        return self._wait(self._client.cancel(job_id))

    def jobs(self, **options: Any) -> list[JobSummary]:
        """The newest jobs; see `Client.jobs`."""
        return self._wait(self._client.jobs(**options))

    def retry(self, *names: str) -> list[str]:
        """Submit jobs once more that failed; see `Client.retry`."""
        return self._wait(self._client.retry(*names))

    def job_ids(self, name: str) -> list[str]:
        """The ids of the jobs of a batch; see `Client.job_ids`."""
        return self._wait(self._client.job_ids(name))

    def batch(self, name: str) -> BatchStatus:
        """How the jobs of a batch stand; see `Client.batch`."""
        return self._wait(self._client.batch(name))

    def batches(self, *, limit: int = 100) -> list[BatchStatus]:
        """The newest batches; see `Client.batches`."""
        return self._wait(self._client.batches(limit=limit))

    def cancel_batch(self, name: str) -> dict[str, JobState]:
        """Cancel the jobs of a batch; see `Client.cancel_batch`."""
        return self._wait(self._client.cancel_batch(name))

    def hosts(self) -> list[Host]:
        """The hosts of the queue; see `Client.hosts`."""
        return self._wait(self._client.hosts())

    def pause_host(self, name: str, *, paused: bool = True) -> Host:
        """Let a host take no more jobs, or take them again; see `Client.pause_host`."""
        return self._wait(self._client.pause_host(name, paused=paused))

    def tiers(self) -> dict[str, Any]:
        """How the host and its tiers stand; see `Client.tiers`."""
        return self._wait(self._client.tiers())

    def cleanup(self, **options: Any) -> dict[str, Any]:
        """Have a worker free what its host needs no longer; see `Client.cleanup`."""
        return self._wait(self._client.cleanup(**options))

    def forget(self, *job_ids: str) -> int:
        """Delete jobs that have ended; see `Client.forget`."""
        return self._wait(self._client.forget(*job_ids))

    def fetch(self, file: FileRef | str) -> bytes:
        """The bytes of a file of a result; see `Client.fetch`."""
        return self._wait(self._client.fetch(file))


async def _next(stream: AsyncGenerator[T]) -> T | None:
    return await anext(stream, None)
