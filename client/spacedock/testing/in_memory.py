"""A client whose jobs are answered by a function in this process; its methods are those of `Client`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from spacedock._wire import jobs as records
from spacedock._wire import submission
from spacedock.batching.from_python import ClientMethods
from spacedock.client import Client
from spacedock.errors import (
    BadRequestError,
    JobNotFoundError,
    ResultDeletedError,
    ResultTimeoutError,
    WireError,
)
from spacedock.events import BatchStatus, Event, JobStatus, JobSummary
from spacedock.files import FileRef, Payload, payload_of
from spacedock.hosts import Host
from spacedock.replies.host import PlanReply
from spacedock.request import JobRequest, job_id_of
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock.testing.memory_job import Answer, MemoryJob, answered, echo

_ASKS_HOSTS = {*dir(Client), "spaces", "board", "tokens", "webhooks"}
"""What `Client` has; reached where this client has none of it."""

_HOST = Host(id="memory", name="memory", containers=4)


class InMemoryClient(ClientMethods):
    """Answers jobs by `answer`, which may be a coroutine; it returns a text, an `Output` or a `JobResult`.

    What `answer` raises is the failure of its job. Without `answer`, the prompt comes back. `requests` are
    all jobs that were submitted, in order. Jobs, results and files live as long as the client.
    """

    def __init__(self, answer: Answer = echo) -> None:
        self._answer = answer
        self._jobs: dict[str, MemoryJob] = {}
        self._files: dict[str, bytes] = {}
        self.requests: list[JobRequest] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        works = [job.work for job in self._jobs.values() if job.work is not None]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in _ASKS_HOSTS:
                why = f"{type(self).__name__} has no '{name}': it knows jobs and batches, and asks no host"
                raise AttributeError(f"{why}. Try this on a daemon (docs/python.md)")
            return super().__getattribute__(name)

    def file(self, name: str, data: bytes) -> FileRef:
        """Keep a file, for an `Output` to name."""
        payload = payload_of(name, data)
        self._files[payload.ref.place] = data
        return payload.ref

    async def submit_prepared(
        self, request: JobRequest, payloads: Sequence[Payload] = (), *, name: str | None = None
    ) -> str:
        """See `Client.submit_prepared`."""
        await self.store(payloads)
        return self._submit(request, None, "")

    async def submit_many(
        self, requests: Iterable[JobRequest | str], *, label: str = "", name: str | None = None
    ) -> list[str]:
        """See `Client.submit_many`."""
        batch = uuid.uuid4().hex
        made = [JobRequest(prompt=item) if isinstance(item, str) else item for item in requests]
        return [self._submit(request, batch, label) for request in made]

    async def store(self, payloads: Iterable[Payload]) -> None:
        """See `Client.store`."""
        self._files.update((payload.ref.place, payload.data) for payload in payloads)

    def _submit(self, request: JobRequest, batch: str | None, label: str) -> str:
        job_id = job_id_of(request)
        if job_id in self._jobs:
            return job_id
        submission.encoded(request)
        if any(ref.place not in self._files for ref in request.payloads):
            raise BadRequestError("1 of 1 jobs: a file is not stored (any more); submit them again with it")
        ended: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        job = MemoryJob(request, request.batch_id or batch, time(), ended, label=label)
        self._jobs[job_id] = job
        self.requests.append(request)
        job.work = asyncio.create_task(self._carry_out(job_id, job))
        return job_id

    async def _carry_out(self, job_id: str, job: MemoryJob) -> None:
        result = await answered(self._answer, job.request)
        own = {"id": job_id, "privacy": job.request.privacy, "labels": job.request.labels}
        if not job.ended.done():
            job.ended.set_result(result.model_copy(update=own))

    async def run(
        self, /, prompt: str = "", *, wait: float | None = None, keep: bool = False, **options: Any
    ) -> JobResult:
        """See `Client.run`."""
        return await self.result(await self.submit(prompt, **options), wait=wait, keep=keep)

    async def result(self, job_id: str, *, wait: float | None = None, keep: bool = False) -> JobResult:
        """See `Client.result`."""
        job = self._job(job_id)
        if job.deleted:
            raise ResultDeletedError((job_id,))
        try:
            async with asyncio.timeout(wait):
                result = await asyncio.shield(job.ended)
        except TimeoutError as error:
            raise ResultTimeoutError(job_id, wait or 0.0) from error
        job.deleted = result.privacy and not keep
        return result

    async def results(self, job_ids: Iterable[str], *, keep: bool = False) -> AsyncGenerator[JobResult]:
        """See `Client.results`."""
        jobs = {job_id: self._job(job_id) for job_id in job_ids}
        deleted = tuple(job_id for job_id, job in jobs.items() if job.deleted)
        left = {job.ended: job for job in jobs.values() if not job.deleted}
        while left:
            ended, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for future in [future for future in left if future in ended]:
                job, result = left.pop(future), future.result()
                yield result
                job.deleted = result.privacy and not keep
        if deleted:
            raise ResultDeletedError(deleted)

    async def status(self, job_id: str) -> JobStatus:
        """See `Client.status`."""
        job = self._job(job_id)
        message = records.DELETED if job.deleted else ""
        return JobStatus(id=job_id, state=job.state, submitted=job.submitted, message=message)

    async def cancel(self, job_id: str) -> JobState:
        """See `Client.cancel`; a job that runs is stopped at once."""
        job = self._job(job_id)
        if not job.ended.done() and job.work is not None:
            job.work.cancel()
            job.ended.set_result(JobResult(id=job_id, state=JobState.CANCELLED, labels=job.request.labels))
        return job.state

    async def cancel_batch(self, name: str) -> dict[str, JobState]:
        """See `Client.cancel_batch`."""
        return {job_id: await self.cancel(job_id) for job_id in await self.job_ids(name)}

    async def jobs(
        self,
        *,
        state: JobState | None = None,
        space: str | None = None,
        batch: str | None = None,
        labels: Mapping[str, str] | None = None,
        run: str | None = None,
        steps: bool = False,
        limit: int = 100,
    ) -> list[JobSummary]:
        """See `Client.jobs`; no job has steps here."""
        if run is not None:
            self._job(run)
            return []
        chosen = self._jobs if batch is None else await self.job_ids(batch)
        found = [self._summary(job_id) for job_id in chosen]
        found = [one for one in found if (labels or {}).items() <= one.labels.items()]
        kept = [one for one in found if state in (None, one.state) and space in (None, one.space)]
        return kept[::-1][:limit]

    async def job_ids(self, name: str) -> list[str]:
        """See `Client.job_ids`."""
        if name in self._jobs:
            return [name]
        batch = (await self.batch_status(name)).id
        return [job_id for job_id, job in self._jobs.items() if job.batch == batch]

    async def batch_status(self, name: str) -> BatchStatus:
        """See `Client.batch_status`."""
        for found in await self.batches():
            if found.id.startswith(name):
                return found
        raise JobNotFoundError(name, "job or batch")

    async def batches(self, *, limit: int = 100) -> list[BatchStatus]:
        """See `Client.batches`."""
        found: dict[str, BatchStatus] = {}
        for job in self._jobs.values():
            if job.batch is not None:
                counts = dict.fromkeys(JobState, 0)
                empty = BatchStatus(id=job.batch, label=job.label, submitted=job.submitted, counts=counts)
                found.setdefault(job.batch, empty).counts[job.state] += 1
        return list(found.values())[::-1][:limit]

    async def watch(self, name: str) -> AsyncGenerator[Event]:
        """See `Client.watch`; only the ends of jobs are told."""
        for job_id in await self.job_ids(name):
            result = await asyncio.shield(self._jobs[job_id].ended)
            yield records.end_of(result)

    async def forget(self, *job_ids: str, note: bool = True) -> int:
        """See `Client.forget`."""
        ended = [job_id for job_id in job_ids if job_id in self._jobs and self._jobs[job_id].ended.done()]
        for job_id in ended:
            if note:
                self._jobs[job_id].deleted = True
            else:
                del self._jobs[job_id]
        return len(ended)

    async def fetch(self, file: FileRef | str) -> bytes:
        """See `Client.fetch`."""
        place = file if isinstance(file, str) else file.place
        if place not in self._files:
            raise WireError(f"file {place[:12]} is kept no longer")
        return self._files[place]

    async def plan(
        self, request: JobRequest, payloads: Sequence[Payload] = (), *, alike: Sequence[JobRequest] = ()
    ) -> PlanReply:
        """See `Client.plan`; nothing is known of apps."""
        return PlanReply(misfits=[], route=None, steps=[], warnings=[])

    async def hosts(self) -> list[Host]:
        """See `Client.hosts`: one that stands for this process."""
        return [_HOST]

    async def workers(self) -> int:
        """See `Client.workers`."""
        return 1

    async def check_may_wait(self) -> None:
        """See `Client.check_may_wait`."""

    def _job(self, job_id: str) -> MemoryJob:
        if job_id not in self._jobs:
            raise JobNotFoundError(job_id)
        return self._jobs[job_id]

    def _summary(self, job_id: str) -> JobSummary:
        job = self._jobs[job_id]
        space = "" if job.request.privacy else job.request.space or ""
        own = {
            "batch": job.batch,
            "space": space,
            "labels": {} if job.request.privacy else job.request.labels,
        }
        return JobSummary(id=job_id, state=job.state, submitted=job.submitted, **own)
