"""What a client may see and change of the queue as a whole: jobs, batches and hosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from redis.asyncio import Redis

from spacedock import hosts
from spacedock._wire import jobs as records
from spacedock._wire import stream
from spacedock._wire.connection import told_as_ours
from spacedock._wire.retention import DAY_S
from spacedock._wire.rpc import Caller, OnProgress, Op, call_of
from spacedock._wire.view import batches, listing, standing
from spacedock._wire.view.depth import workers
from spacedock._wire.view.provenance import JobStory, Provenance, provenance_of, story_of
from spacedock.events import BatchStatus, JobStatus, JobSummary
from spacedock.hosts import Host
from spacedock.replies.host import CleanupReply, TiersReply
from spacedock.states import JobState


class QueueView:
    """The part of `Client` that is about jobs of whoever submitted them, and about hosts."""

    def __init__(self, redis: Redis, url: str) -> None:
        self.url, self._redis, self._caller = url, redis, Caller(redis, url)

    async def status(self, job_id: str) -> JobStatus:
        """Where a job stands, and what it waits for. Raises JobNotFoundError."""
        with told_as_ours(self.url):
            found = await records.status(self._redis, job_id)
            if found.state is not JobState.QUEUED:
                return found
            return found.model_copy(update={"waits_for": await standing.told(self._redis, job_id)})

    async def provenance(self, job_id: str) -> Provenance:
        """What a job was asked, who answered with what, and when, as far as it is known now.

        Raises JobNotFoundError.
        """
        with told_as_ours(self.url):
            return await provenance_of(self._redis, job_id)

    async def cancel(self, job_id: str) -> JobState:
        """Cancel a job; returns its state: `running` where its worker was told and is stopping it.

        Raises JobNotFoundError.
        """
        with told_as_ours(self.url):
            return (await records.cancel(self._redis, [job_id]))[job_id]

    async def cancel_batch(self, name: str) -> dict[str, JobState]:
        """Cancel the jobs of a batch, by the beginning of its id; returns their states as `cancel` does.

        Raises JobNotFoundError.
        """
        with told_as_ours(self.url):
            return await records.cancel(self._redis, await listing.ids_of(self._redis, name))

    async def jobs(
        self,
        *,
        state: JobState | None = None,
        space: str | None = None,
        batch: str | None = None,
        labels: Mapping[str, str] | None = None,
        limit: int = 100,
    ) -> list[JobSummary]:
        """The newest jobs, at most `limit`: those that have not ended, and those that ended within a day.

        `state`, `space`, `batch` (the beginning of its id) and `labels` (each of these) choose. Raises
        JobNotFoundError where there is no such batch.
        """
        with told_as_ours(self.url):
            return await listing.find(
                self._redis, state=state, space=space, batch=batch, labels=labels, limit=limit
            )

    async def job_ids(self, name: str) -> list[str]:
        """The ids of the jobs of a batch, by the beginning of its id, or the id of that one job.

        Raises JobNotFoundError.
        """
        with told_as_ours(self.url):
            return await listing.ids_of(self._redis, name)

    async def batch_status(self, name: str) -> BatchStatus:
        """How the jobs of a batch stand, by the beginning of its id. Raises JobNotFoundError."""
        with told_as_ours(self.url):
            return await batches.find(self._redis, name)

    async def batches(self, *, limit: int = 100) -> list[BatchStatus]:
        """The newest batches, at most `limit`; each is kept as long as its jobs."""
        with told_as_ours(self.url):
            return await batches.newest(self._redis, limit)

    async def story(self, job_id: str) -> JobStory:
        """What became of a job so far: `job`, its `events` as far as they are kept, and its `result`.

        Reading it deletes nothing. Raises JobNotFoundError, and BadRequestError for a private job.
        """
        with told_as_ours(self.url):
            return await story_of(self._redis, job_id)

    async def last_event(self, before: float | None = None) -> int:
        """The number of the last event (0: none), of those before a time (seconds since 1970) where given."""
        with told_as_ours(self.url):
            if before is None:
                return await stream.newest(self._redis)
            return await stream.before(self._redis, before)

    async def cleanup(
        self,
        *,
        dry_run: bool = False,
        images: bool = False,
        older_than: float = DAY_S,
        on_progress: OnProgress | None = None,
    ) -> CleanupReply:
        """Have a worker free what its host needs no longer; returns what that was, in counts and bytes.

        Nothing younger than `older_than` seconds goes, and images only with `images`; see
        docs/operations.md. With `dry_run` nothing goes at all. Raises NoWorkerError, BadRequestError.
        """
        call = call_of(Op.CLEANUP, dry_run=dry_run, images=images, older_than=older_than)
        return await self._caller.get(call, CleanupReply, on_progress)

    async def tiers(self) -> TiersReply:
        """How the host of the worker that answers stands, within about 3 s: `host` (engine, memory, disk,
        GPUs), `spaces` (Tier 2), `models` (Tier 1), `default` (the system default), `redis` and `limits`.

        Sizes are bytes. Raises NoWorkerError.
        """
        return await self._caller.get(call_of(Op.TIERS), TiersReply)

    async def hosts(self) -> list[Host]:
        """The hosts of the queue: what each has, and whether it takes jobs; those that are gone last."""
        with told_as_ours(self.url):
            return await hosts.hosts(self._redis)

    async def pause_host(self, name: str, *, paused: bool = True) -> Host:
        """Let a host, by its name or the beginning of its id, take no more jobs, or take them again.

        What it has in hand goes on. Raises BadRequestError where it is no host, or more than one.
        """
        with told_as_ours(self.url):
            return await hosts.pause(self._redis, name, paused=paused)

    async def drain_host(self, name: str, on_wait: Callable[[Host], None] = lambda host: None) -> Host:
        """Pause a host, and wait until no job is in its hands, or it is gone.

        `on_wait` is called each second with the host as it was last seen. Raises as `pause_host` does, and
        BadRequestError where somebody lets it take jobs again.
        """
        with told_as_ours(self.url):
            return await hosts.drain(self._redis, name, on_wait)

    async def serving(self, space: str) -> list[Host]:
        """The hosts that can run the Space of that name in their registries, also those that are gone."""
        with told_as_ours(self.url):
            return await hosts.serving(self._redis, space)

    async def workers(self) -> int:
        """How many workers are alive."""
        with told_as_ours(self.url):
            return await workers(self._redis)
