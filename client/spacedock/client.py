"""The asynchronous client: jobs in, results out, over Redis alone."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError

from spacedock._stores.payloads import Payloads
from spacedock._wire import jobs as records
from spacedock._wire import stream, submission, waiting
from spacedock._wire.connection import connect, meet, told_as_ours
from spacedock._wire.rpc import Op, call_of
from spacedock._wire.view import listing
from spacedock._wire.view.board import Board
from spacedock._wire.view.queue_view import QueueView
from spacedock._wire.view.tokens import Tokens
from spacedock._wire.view.webhooks import Webhooks
from spacedock._wire.waiting import WaitHub
from spacedock.batching.from_python import ClientMethods
from spacedock.configuration import FILES_VARIABLE, default_url, person
from spacedock.errors import ResultDeletedError, ResultTimeoutError, WireError
from spacedock.events import Event
from spacedock.files import MAX_JOB_BYTES, FileRef, Held, Payload, check_sizes
from spacedock.pipelines.submitting import PipelineMethods
from spacedock.replies.host import PlanReply
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.spaces import Spaces

_DIFFERING = {"prompt", "inputs", "files", "endpoint"}


class Client(QueueView, ClientMethods, PipelineMethods):
    """Submits jobs and brings back their results.

    Use it as `async with Client() as client:`. `url` is the address of a Redis (`redis://`, `rediss://`,
    `unix://`); without one, the variables, the configuration file or this machine's own daemon tell it
    (docs/configuration.md). Single prompts of clients of one `name` wait in one lane, in turn with those of
    others; without one it is the user and this machine. `files` is where this machine finds the queue's store
    of large files, should that be another path than the daemons' (docs/redis.md). Every method raises
    NotConnectedError where Redis cannot be reached, RefusedError where it will not serve this client.
    """

    def __init__(self, url: str | None = None, name: str | None = None, *, files: str | None = None) -> None:
        url = url or default_url(os.environ, os.getuid())
        super().__init__(connect(url), url)
        self._name = name or person()
        self._waiting = WaitHub(self._redis)
        self._held = Held(MAX_JOB_BYTES)
        self._read: list[str] = []
        self._may_wait = False
        self._payloads = Payloads(self._redis, files or os.environ.get(FILES_VARIABLE))
        self.spaces = Spaces(self._caller, self._payloads, self.url)
        self.tokens = Tokens(self._redis, self.url)
        self.webhooks = Webhooks(self._redis, self.url)
        self.board = Board(self._redis, self.url)

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

    async def submit_prepared(
        self, request: JobRequest, payloads: Sequence[Payload] = (), *, name: str | None = None
    ) -> str:
        """Submit a request whose files are at hand as `payloads`; returns the job's id.

        `name` is whose job it is, where that is not this client's name.
        """
        with told_as_ours(self.url):
            await self._payloads.upload(payloads)
            return (await submission.submit(self._redis, [request], name or self._name))[0]

    async def submit_many(
        self, requests: Iterable[JobRequest | str], *, label: str = "", name: str | None = None
    ) -> list[str]:
        """Submit many jobs in few round trips and return their ids, in order; a string is a prompt.

        Files must have been stored (`store`). Jobs that name no `batch_id` are one batch, which has its turn
        among others as a whole, and is called `label` in lists; `name` is as in `submit_prepared`. Raises
        BadRequestError.
        """
        batch = uuid.uuid4().hex
        made = [JobRequest(prompt=item) if isinstance(item, str) else item for item in requests]
        with told_as_ours(self.url):
            return await submission.submit(self._redis, made, name or self._name, batch, label)

    async def store(self, payloads: Iterable[Payload]) -> None:
        """Store files ahead of the jobs that name them; they wait an hour."""
        listed = list(payloads)
        check_sizes(listed, max_job=sum(payload.ref.size for payload in listed))
        with told_as_ours(self.url):
            await self._payloads.upload(listed)

    async def plan(
        self,
        request: JobRequest,
        payloads: Sequence[Payload] = (),
        *,
        alike: Sequence[JobRequest] = (),
    ) -> PlanReply:
        """What a worker would do with this request, and why; it runs nothing, and gets no image.

        `steps` are those of the chain in their order, `warnings` say what could not be found out. Only a
        Space's directory among the `payloads` is sent. `misfits` say for each of the requests `alike`, which
        differ from the first in prompt, files, inputs and endpoint alone, what the app of the Space that it
        names has against it, or None; the list is short where that is not known. Raises NoWorkerError,
        BadRequestError, SpaceNotFoundError.
        """
        with told_as_ours(self.url):
            await self._payloads.upload([one for one in payloads if one.ref == request.repository])
            differing = [other.model_dump(mode="json", include=_DIFFERING) for other in alike]
            try:
                call = call_of(Op.PLAN, request.space, request=request, alike=differing)
                return await self._caller.get(call, PlanReply)
            finally:
                if request.privacy:
                    # The call's prompt is in the server's append-only file until that is written anew.
                    await records.ask_to_scrub(self._redis)

    async def run(
        self, /, prompt: str = "", *, wait: float | None = None, keep: bool = False, **options: Any
    ) -> JobResult:
        """Submit one job and wait for its result, as `submit` and `result` do."""
        await self.check_may_wait()
        # Under an idempotency key it may be a job that has ended long ago.
        heard = None if options.get("idempotency_key") else self._waiting.heard
        return await self._result(await self.submit(prompt, **options), wait, keep, heard)

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
        return await self._result(job_id, wait, keep, None)

    async def _result(self, job_id: str, wait: float | None, keep: bool, heard: int | None) -> JobResult:
        try:
            async with asyncio.timeout(wait):
                with told_as_ours(self.url):
                    async with aclosing(self._waiting.results([job_id], heard)) as found:
                        result = await anext(found)
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

    async def forget(self, *job_ids: str, note: bool = True) -> int:
        """Delete jobs that have ended: their records, results and private files; returns how many there were.

        Reading does it by itself in privacy mode; this is for whoever read with `keep`. For a day a `note`
        says that there was a job, so that it does not run twice under its idempotency key.
        """
        with told_as_ours(self.url):
            return await records.forget(self._redis, job_ids, note=note)

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
            return await self._payloads.read(place, size=size)
