"""What a batch needs of a client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from spacedock.files import FileRef, Payload
from spacedock.hosts import Host
from spacedock.replies.host import PlanReply
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState


class BatchClient(Protocol):
    """The methods of `Client` that a batch calls; `spacedock.testing` has another that keeps to them."""

    async def submit_many(self, requests: Iterable[JobRequest | str], *, label: str = "") -> list[str]:
        """See `Client.submit_many`."""
        ...

    async def submit_prepared(self, request: JobRequest, payloads: Sequence[Payload] = ()) -> str:
        """See `Client.submit_prepared`."""
        ...

    async def store(self, payloads: Iterable[Payload]) -> None:
        """See `Client.store`."""
        ...

    async def result(self, job_id: str, *, wait: float | None = None, keep: bool = False) -> JobResult:
        """See `Client.result`."""
        ...

    def results(self, job_ids: Iterable[str], *, keep: bool = False) -> AsyncGenerator[JobResult]:
        """See `Client.results`."""
        ...

    async def plan(
        self, request: JobRequest, payloads: Sequence[Payload] = (), *, alike: Sequence[JobRequest] = ()
    ) -> PlanReply:
        """See `Client.plan`."""
        ...

    async def hosts(self) -> list[Host]:
        """See `Client.hosts`."""
        ...

    async def cancel(self, job_id: str) -> JobState:
        """See `Client.cancel`."""
        ...

    async def forget(self, *job_ids: str, note: bool = True) -> int:
        """See `Client.forget`."""
        ...

    async def fetch(self, file: FileRef | str) -> bytes:
        """See `Client.fetch`."""
        ...
