"""What a client may see and change of the queue as a whole: jobs, batches and hosts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, ParamSpec, TypeVar

from redis.asyncio import Redis

from spacedock import hosts as host_list
from spacedock._wire import jobs as records
from spacedock._wire import stream
from spacedock._wire.connection import told_as_ours
from spacedock._wire.retention import DAY_S
from spacedock._wire.rpc import Caller, OnProgress, Op, call_of
from spacedock._wire.view import batches, listing, standing
from spacedock._wire.view.depth import workers
from spacedock._wire.view.provenance import provenance_of, story_of
from spacedock.events import JobStatus
from spacedock.replies.host import CleanupReply, TiersReply
from spacedock.states import JobState

P = ParamSpec("P")
T = TypeVar("T")


def _of_queue(
    function: Callable[Concatenate[Redis, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[QueueView, P], Coroutine[Any, Any, T]]:
    """A function of the queue's server as a method: with its parameters, and Redis's errors told as ours."""

    @wraps(function)
    async def call(self: QueueView, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with told_as_ours(self.url):
            return await function(self._redis, *args, **kwargs)

    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    told = signature(function)
    vars(call)["__signature__"] = told.replace(parameters=[own, *list(told.parameters.values())[1:]])
    return call


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
            waits_for = await standing.told(self._redis, job_id, found.message)
            return found.model_copy(update={"waits_for": waits_for})

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
        """How the host of the worker that answers stands, within about 3 s. Raises NoWorkerError."""
        return await self._caller.get(call_of(Op.TIERS), TiersReply)

    jobs = _of_queue(listing.find)
    job_ids = _of_queue(listing.ids_of)
    provenance = _of_queue(provenance_of)
    story = _of_queue(story_of)
    batch_status = _of_queue(batches.find)
    hosts = _of_queue(host_list.hosts)
    pause_host = _of_queue(host_list.pause)
    drain_host = _of_queue(host_list.drain)
    serving = _of_queue(host_list.serving)
    workers = _of_queue(workers)
    # After the last use of the module of that name.
    batches = _of_queue(batches.newest)
