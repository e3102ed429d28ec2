"""The asynchronous client: jobs in, results out, over Redis alone."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError
from redis.exceptions import RedisError

from spacedock import hosts
from spacedock._wire import batches, listing, stream, submission, waiting, wire
from spacedock._wire import jobs as records
from spacedock._wire.connection import connect, meet, told_as_ours
from spacedock._wire.retention import DAY_S
from spacedock._wire.rpc import Caller, OnProgress, Op, call_of, workers
from spacedock._wire.waiting import WaitHub
from spacedock.configuration import default_url
from spacedock.errors import BadRequestError, ResultDeletedError, ResultTimeoutError, WireError
from spacedock.events import BatchStatus, Event, JobStatus, JobSummary
from spacedock.files import MAX_JOB_BYTES, FileRef, Held, Payload, check_sizes, read_payload, set_apart
from spacedock.hosts import Host
from spacedock.repository import pack
from spacedock.request import SPACE_NAME, JobRequest
from spacedock.result import JobResult
from spacedock.spaces import Spaces, hub_id_of
from spacedock.states import JobState

_DIFFERING = {"prompt", "inputs", "files", "endpoint"}


class Client:
    """Submits jobs and brings back their results.

    Use it as `async with Client() as client:`. `url` is the address of a Redis (`redis://`, `rediss://`,
    `unix://`); without one, the variables, the configuration file or this machine's own daemon tell it
    (docs/configuration.md). Single prompts of clients of one `name` wait in one lane, in turn with those of
    others; without one it is the user and this machine. Every method raises NotConnectedError where Redis
    cannot be reached, RefusedError where it will not serve this client.
    """

    def __init__(self, url: str | None = None, name: str | None = None) -> None:
        self.url = url or default_url(os.environ, os.getuid())
        self._name = name or _person()
        self._redis = connect(self.url)
        self._waiting = WaitHub(self._redis)
        self._held = Held(MAX_JOB_BYTES)
        self._read: list[str] = []
        self._may_wait = False
        self._caller = Caller(self._redis, self.url)
        self.spaces = Spaces(self._caller, self._redis, self.url)

    async def __aenter__(self) -> Self:
        try:
            await meet(self._redis, self.url)
        except BaseException:
            await self._redis.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._waiting.aclose()
        if self._read:
            await self._delete()
        await self._redis.aclose()

    async def submit(
        self, prompt: str = "", *, files: Iterable[Path | str] = (), space: str | None = None, **options: Any
    ) -> str:
        """Submit one job and return its id.

        `files` are paths on this machine; their bytes travel. `space` is a registry name, a Hub id
        (`user/space`) or the path of a Space's directory (it has a `/` at the start or `.` before it).
        `options` are the fields of `JobRequest`. Raises BadRequestError and its kinds.
        """
        request, payloads = await asyncio.to_thread(prepare, prompt, files, space, options)
        return await self.submit_prepared(request, payloads)

    async def submit_prepared(self, request: JobRequest, payloads: Sequence[Payload] = ()) -> str:
        """Submit a request whose files are at hand as `payloads`; returns the job's id."""
        with told_as_ours(self.url):
            await submission.upload(self._redis, payloads)
            return (await submission.submit(self._redis, [request], self._name))[0]

    async def submit_many(self, requests: Iterable[JobRequest | str], *, label: str = "") -> list[str]:
        """Submit many jobs in few round trips and return their ids, in order; a string is a prompt.

        Files must have been stored (`store`). Jobs that name no `batch_id` are one batch, which has its turn
        among others as a whole, and is called `label` in lists. Raises BadRequestError.
        """
        batch = uuid.uuid4().hex
        made = [JobRequest(prompt=item) if isinstance(item, str) else item for item in requests]
        with told_as_ours(self.url):
            return await submission.submit(self._redis, made, self._name, batch, label)

    async def store(self, payloads: Iterable[Payload]) -> None:
        """Store files ahead of the jobs that name them; they wait an hour."""
        listed = list(payloads)
        check_sizes(listed, max_job=sum(payload.ref.size for payload in listed))
        with told_as_ours(self.url):
            await submission.upload(self._redis, listed)

    async def plan(
        self,
        request: JobRequest,
        payloads: Sequence[Payload] = (),
        *,
        alike: Sequence[JobRequest] = (),
    ) -> dict[str, Any]:
        """What a worker would do with this request, and why; it runs nothing, and gets no image.

        `steps` are those of the chain in their order, each with the state of its image and its container,
        its limits, the endpoint and where its inputs come from, and the seconds that it is expected to take,
        as far as that is known; `warnings` say what could not be found out. Only a Space's directory among
        the `payloads` is sent. `misfits` say for each of the requests `alike`, which differ from the first in
        prompt, files, inputs and endpoint alone, what the app of the Space that it names has against it, or
        None; the list is short where that is not known. Raises NoWorkerError, BadRequestError,
        SpaceNotFoundError.
        """
        with told_as_ours(self.url):
            await submission.upload(self._redis, [one for one in payloads if one.ref == request.repository])
            differing = [other.model_dump(mode="json", include=_DIFFERING) for other in alike]
            try:
                call = call_of(Op.PLAN, request.space, request=request, alike=differing)
                return (await self._caller.ask(call)).data
            finally:
                if request.privacy:
                    # The call's prompt is in the server's append-only file until that is written anew.
                    await records.ask_to_scrub(self._redis)

    async def run(
        self, prompt: str = "", *, wait: float | None = None, keep: bool = False, **options: Any
    ) -> JobResult:
        """Submit one job and wait for its result, as `submit` and `result` do."""
        await self.check_may_wait()
        return await self.result(await self.submit(prompt, **options), wait=wait, keep=keep)

    async def check_may_wait(self) -> None:
        """See that this user of Redis may also read what he submits. Raises RefusedError."""
        if not self._may_wait:
            with told_as_ours(self.url):
                await records.check_may_wait(self._redis)
            self._may_wait = True

    async def result(self, job_id: str, *, wait: float | None = None, keep: bool = False) -> JobResult:
        """Wait for a job's result, at most `wait` seconds.

        A job in privacy mode is deleted once it is read, unless `keep`: its result is in your hands only.
        This client holds the result's files for `fetch` then, those of the last results up to 256 MB.
        Raises JobNotFoundError, ResultDeletedError, ResultTimeoutError (the job goes on).
        """
        try:
            async with asyncio.timeout(wait), aclosing(self.results([job_id], keep=True)) as results:
                result = await anext(results)
        except TimeoutError as error:
            raise ResultTimeoutError(job_id, wait or 0.0) from error
        if result.privacy and not keep:
            await self._take(result)
        return result

    async def _take(self, result: JobResult) -> None:
        """Take a result's files over, then delete the job. Raises ResultDeletedError."""
        try:
            for ref in result.output.files:
                self._held.add(ref.sha256, await self.fetch(ref))
        except WireError as error:
            # Another reader was faster; half an answer is none.
            raise ResultDeletedError((result.id,)) from error
        await self._delete(result.id)

    async def _delete(self, job_id: str | None = None) -> None:
        """Delete a job that was read, and those whose turn came while Redis was away.

        An outage just then does not take the result from who read it: the job is deleted later, at the
        latest when its hour is over.
        """
        if job_id is not None:
            self._read.append(job_id)
        with suppress(RedisError, OSError):
            await records.forget(self._redis, self._read)
            self._read.clear()

    async def results(self, job_ids: Iterable[str], *, keep: bool = False) -> AsyncGenerator[JobResult]:
        """Yield the results of these jobs as they end.

        A job in privacy mode is deleted, unless `keep`, when the next result is asked for: fetch its files
        before that. The one at which a loop was left stays. Raises JobNotFoundError, and ResultDeletedError
        after all other results.
        """
        with told_as_ours(self.url):
            async with aclosing(self._waiting.results(job_ids)) as results:
                async for result in results:
                    yield result
                    if result.privacy and not keep:
                        await self._delete(result.id)

    async def forget(self, *job_ids: str) -> int:
        """Delete jobs that have ended: their records, results and private files; returns how many there were.

        Reading does it by itself in privacy mode; this is for whoever read with `keep`.
        """
        with told_as_ours(self.url):
            return await records.forget(self._redis, job_ids)

    async def watch(self, name: str) -> AsyncGenerator[Event]:
        """Yield the events of a job or a batch until it ends: first those that came before and are kept.

        Raises JobNotFoundError.
        """
        with told_as_ours(self.url):
            async with aclosing(waiting.watch(self._redis, name)) as events:
                async for event in events:
                    yield event

    async def events(self, *, after: int | None = None) -> AsyncGenerator[Event]:
        """Yield the events of all jobs as they come, without end; those of the last few thousand are kept.

        With `after`, an event's `id`, those that came after it come first (0: all that are kept).
        """
        with told_as_ours(self.url):
            async with aclosing(stream.follow(self._redis, after)) as events:
                async for event in events:
                    yield event

    async def status(self, job_id: str) -> JobStatus:
        """Where a job stands. Raises JobNotFoundError."""
        with told_as_ours(self.url):
            return await records.status(self._redis, job_id)

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

    async def batch(self, name: str) -> BatchStatus:
        """How the jobs of a batch stand, by the beginning of its id. Raises JobNotFoundError."""
        with told_as_ours(self.url):
            return await batches.find(self._redis, name)

    async def batches(self, *, limit: int = 100) -> list[BatchStatus]:
        """The newest batches, at most `limit`; each is kept as long as its jobs."""
        with told_as_ours(self.url):
            return await batches.newest(self._redis, limit)

    async def retry(self, *names: str) -> list[str]:
        """Submit jobs once more that failed, were cancelled or are dead; returns the new ids, in order.

        `names` are jobs, or batches: all such of them. What was retried before is not retried twice: its last
        retry counts. Raises JobNotFoundError, BadRequestError for a job that has not ended so, or whose
        request or files are not kept any more: then none is submitted.
        """
        with told_as_ours(self.url):
            requests = await listing.retries_of(self._redis, names)
            return await submission.submit(self._redis, requests, self._name)

    async def fetch(self, file: FileRef | str) -> bytes:
        """The bytes of a file of a result, by its `FileRef` or its `sha256` (not in privacy mode).

        Raises WireError where it is kept no longer, or was changed since.
        """
        digest, place = (file, file) if isinstance(file, str) else (file.sha256, file.place)
        if (held := self._held.get(digest)) is not None:
            return held
        with told_as_ours(self.url):
            size = None if isinstance(file, str) else file.size
            return await records.payload(self._redis, place, size=size)

    async def cleanup(
        self,
        *,
        dry_run: bool = False,
        images: bool = False,
        older_than: float = DAY_S,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Have a worker free what its host needs no longer; returns what that was, in counts and bytes.

        Nothing younger than `older_than` seconds goes, and images only with `images`; see
        docs/operations.md. With `dry_run` nothing goes at all. Raises NoWorkerError, BadRequestError.
        """
        call = call_of(Op.CLEANUP, dry_run=dry_run, images=images, older_than=older_than)
        return (await self._caller.ask(call, on_progress)).data

    async def tiers(self) -> dict[str, Any]:
        """How the host of the worker that answers stands, within about 3 s: `host` (engine, memory, disk,
        GPUs), `spaces` (Tier 2), `models` (Tier 1), `default` (the system default), `redis` and `limits`.

        Sizes are bytes. Raises NoWorkerError.
        """
        return (await self._caller.ask(call_of(Op.TIERS))).data

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

    async def serving(self, space: str) -> list[Host]:
        """The hosts that can run the Space of that name in their registries, also those that are gone."""
        with told_as_ours(self.url):
            return await hosts.serving(self._redis, space)

    async def workers(self) -> int:
        """How many workers are alive."""
        with told_as_ours(self.url):
            return await workers(self._redis)


def _person() -> str:
    """Who uses this client, as far as that is known."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def prepare(
    prompt: str, files: Iterable[Path | str], space: str | None, options: dict[str, Any]
) -> tuple[JobRequest, list[Payload]]:
    """Make a request of what a user gives: read the files, pack a Space's directory, check the sizes.

    Raises BadRequestError, FileUnreadableError, FileTooLargeError.
    """
    unknown = options.keys() - JobRequest.model_fields.keys()
    if unknown:
        raise BadRequestError(f"unknown option {', '.join(sorted(unknown))}: see JobRequest")
    payloads = [read_payload(Path(path)) for path in files]
    check_sizes(payloads)
    fields: dict[str, Any] = {**options, "prompt": prompt, "files": tuple(p.ref for p in payloads)}
    if space is not None and is_directory(space):
        repository = pack(Path(space))
        payloads.append(repository)
        fields["repository"] = repository.ref
    else:
        fields["space"] = _name_of(space) if space is not None else None
    try:
        request = JobRequest(**fields)
    except ValidationError as error:
        raise BadRequestError(wire.describe(error)) from error
    submission.encoded(request)
    return _apart(request, payloads) if request.privacy else (request, payloads)


def _name_of(space: str) -> str:
    name = hub_id_of(space)
    if not SPACE_NAME.fullmatch(name) and name.strip() and Path(name).is_dir():
        raise BadRequestError(
            f"'{name}' is not a Space's name, and there is a directory of that name: write ./{name}"
        )
    return name


def _apart(request: JobRequest, payloads: list[Payload]) -> tuple[JobRequest, list[Payload]]:
    """The request and its payloads, its files in a vault of its own; a Space's repository is no secret."""
    count = len(request.files)
    files = set_apart(payloads[:count], uuid.uuid4().hex)
    request = request.model_copy(update={"files": tuple(payload.ref for payload in files)})
    return request, [*files, *payloads[count:]]


def is_directory(space: str) -> bool:
    """Whether a Space is given as a directory of this machine: it starts with `.`, `/` or `~`."""
    return space.startswith((".", "/", "~"))
