"""Asking one Space: its image, a container of it, one call; whatever fails becomes a StepError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import monotonic, time

import structlog

from spacedock.files import Payload
from spacedock.request import JobRequest, Tier
from spacedock.result import AnsweredBy, AnswerKind, ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AppAnswer, AppCall
from spacedock_worker.adapters.command import answer_of, task_of
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.containers.pool.lease import Lease
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.pool.readiness import Connect
from spacedock_worker.containers.pool.slots import WAITING_FOR_CALLS, WAITING_FOR_ROOM
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError, TryAgainError, UnexplainedError
from spacedock_worker.images.build.flavours import lacks_full
from spacedock_worker.images.images import Images
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.chain import StepAnswer, StepContext
from spacedock_worker.jobs.outputs import as_given
from spacedock_worker.jobs.plan import SpaceStep, Step
from spacedock_worker.jobs.run_recorder import RunRecorder
from spacedock_worker.jobs.second_try import ended_by_slowness
from spacedock_worker.jobs.secrets import Secrets, tell_masked, unquoted
from spacedock_worker.jobs.space_spec import access_of, call_of, family_of, source_of, spec_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy

Load = Callable[[], Awaitable[tuple[Payload, ...]]]
"""Gives a job's files when they are needed."""

Calling = Callable[[], Awaitable[AppCall]]
Connecting = Callable[[], Connect[Adapter]]

log = structlog.get_logger()


class SpaceRunner:
    """Runs the calls of jobs on Spaces of this host."""

    def __init__(
        self,
        images: Images,
        pool: Pool[Adapter],
        opener: Opener,
        policy: ImagePolicy | None = None,
        secrets: Secrets | None = None,
        recorder: RunRecorder | None = None,
    ) -> None:
        self._images, self._pool, self._opener = images, pool, opener
        self._recorder = recorder or RunRecorder()
        self._policy, self._secrets = policy or ImagePolicy(), secrets or Secrets(None, {})

    @contextmanager
    def expecting(self, request: JobRequest) -> Iterator[Callable[[Sequence[Step]], None]]:
        """A job's chain begins; the value is told which steps may still be taken, whenever that changes."""
        with self._pool.expecting() as expected:

            def still(steps: Sequence[Step]) -> None:
                entries = [step.entry for step in steps if isinstance(step, SpaceStep)]
                expected.families = frozenset(family_of(e, private=request.privacy) for e in entries)

            yield still

    async def take(
        self,
        entry: SpaceEntry,
        request: JobRequest,
        load: Load,
        repository: bytes | None,
        context: StepContext,
    ) -> StepAnswer:
        """Answer a job with one Space; `load` gives the job's files. Raises StepError."""
        if request.explain:
            return await self._take(entry, request, load, repository, context)
        with self._recorder.run(entry.id, context):
            return await self._take(entry, request, load, repository, context)

    async def _take(
        self,
        entry: SpaceEntry,
        request: JobRequest,
        load: Load,
        repository: bytes | None,
        context: StepContext,
    ) -> StepAnswer:
        image = await self._image(entry, repository, context)
        try:
            return await self._asked(entry, image, request, load, context)
        except StepError as error:
            full = await self._on_full(entry, image, repository, context, error)
        return await self._asked(entry, full, request, load, context)

    async def _on_full(
        self,
        entry: SpaceEntry,
        image: Image,
        repository: bytes | None,
        context: StepContext,
        error: StepError,
    ) -> Image:
        """The image on the full flavour of the base, where the Space may have failed for want of that.

        Raises the error itself where it tells of something else.
        """
        if image.flavour != "slim" or entry.flavour != "auto" or not lacks_full(str(error)):
            raise error
        log.info("space.needs_full_base", space=entry.id, kind=error.kind)
        context.enter(Stage.BUILD, "it lacks what the full base image may have: building it on that")
        try:
            full = await self._image(entry.model_copy(update={"flavour": "full"}), repository, context)
        except StepError as why:
            if why.kind is not ErrorKind.BUILD_FAILED:
                raise
            raise error.copy(f"{error}\nThe full base image may have what it lacks, but {why}") from why
        if full.id == image.id:
            raise error
        return full

    async def _asked(
        self, entry: SpaceEntry, image: Image, request: JobRequest, load: Load, context: StepContext
    ) -> StepAnswer:
        context.at(Stage.START)
        spec = spec_of(entry, image, await self._secrets.of(entry), private=request.privacy)

        async def calling() -> AppCall:
            return call_of(entry, request, await load())

        if spec.secrets:
            context.tell = partial(tell_masked, context.tell, spec.secrets)
        with unquoted(spec.secrets):
            if entry.adapter == "command":
                answer = await self._complete(spec, calling, request, context)
            else:
                connect = self._connecting(entry, image)
                answer = await self._lease(spec, connect, calling, request, context)
        answer = as_given(answer, entry.gives)
        by = AnsweredBy(
            tier=Tier.HEAVY,
            kind=AnswerKind.SPACE,
            name=entry.title,
            image=image.reference,
            image_digest=image.digest,
            endpoint=answer.endpoint,
        )
        return StepAnswer(answer, by)

    async def _image(self, entry: SpaceEntry, repository: bytes | None, context: StepContext) -> Image:
        started = monotonic()
        source = source_of(entry, repository)
        stage = Stage.BUILD if source.docker_image is None else Stage.PULL
        context.at(stage)
        if not entry.own:
            source = self._policy.source(source)
        image = await self._images.get(source, partial(context.enter, stage))
        await self._policy.used(image, entry.id, stage, listed=not entry.own)
        context.seconds["prepare"] = context.seconds.get("prepare", 0.0) + monotonic() - started
        context.digest = image.digest
        return image

    async def _complete(
        self, spec: ContainerSpec, calling: Calling, request: JobRequest, context: StepContext
    ) -> AppAnswer:
        """The answer of a program that runs once."""
        if request.explain:
            message = "this Space is a program that runs once: it has no endpoints."
            raise StepError(Stage.CALL, ErrorKind.BAD_INPUT, message)
        task = task_of(await calling(), request.timeout, private=request.privacy)
        task = replace(task, begin=partial(context.at_work, True))
        completed = await self._pool.complete(spec, task, partial(_follow, context, Stage.CALL))
        context.seconds |= {"start": completed.start_seconds, "call": completed.seconds}
        context.peak_memory = completed.peak_memory
        # Large files take long to hash.
        return await asyncio.to_thread(answer_of, completed)

    def _connecting(self, entry: SpaceEntry, image: Image) -> Connecting:
        """What makes the connections to apps of the image; each start of one gets its own."""
        access = access_of(entry)

        def connecting() -> Connect[Adapter]:
            connect = self._opener.connect_to(entry.app(image.digest), access)
            return self._policy.watched(connect, image, entry)

        return connecting

    async def _lease(
        self,
        spec: ContainerSpec,
        connect: Connecting,
        calling: Calling,
        request: JobRequest,
        context: StepContext,
    ) -> AppAnswer:
        """The answer of an app that serves call after call; one that a slow host ended gets a second try."""
        try:
            return await self._leased(spec, connect, calling, request, context)
        except TryAgainError as error:
            log.info("space.tried_again", space=spec.space, kind=error.kind)
        except StepError as error:
            if not ended_by_slowness(error, context.seconds):
                raise
            log.info("space.ended_early", space=spec.space)
        return await self._leased(spec, connect, calling, request, context)

    async def _leased(
        self,
        spec: ContainerSpec,
        connect: Connecting,
        calling: Calling,
        request: JobRequest,
        context: StepContext,
    ) -> AppAnswer:
        context.seconds["start"] = 0.0
        async with self._pool.lease(spec, connect(), partial(_follow, context, Stage.READY)) as lease:
            context.seconds["start"] = lease.start_seconds
            context.enter(Stage.CALL, "asking")
            call = await calling()
            await context.at_work(True)
            started, since = monotonic(), time()
            try:
                return await self._call(lease, call, request, context)
            except UnexplainedError as error:
                raise await lease.with_log(error, since) from error
            finally:
                context.seconds["call"], context.peak_memory = monotonic() - started, lease.peak_memory

    async def _call(
        self, lease: Lease[Adapter], call: AppCall, request: JobRequest, context: StepContext
    ) -> AppAnswer:
        """Call the app; whichever is first, its answer, its death or the job's timeout, decides."""
        calling = asyncio.ensure_future(_ask(lease.app, call, request, context))
        dying = asyncio.ensure_future(lease.wait_dead())
        try:
            await asyncio.wait({calling, dying}, timeout=request.timeout, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                return await _settled(lease, calling)
            if dying.done():
                lease.discard()
                raise dying.result()
        finally:
            await _end(lease, calling, dying)
        message = (
            f"no answer within {request.timeout:g} s; the call was stopped. Give it longer with --timeout."
        )
        raise StepError(Stage.CALL, ErrorKind.TIMEOUT, message)


async def _ask(app: Adapter, call: AppCall, request: JobRequest, context: StepContext) -> AppAnswer:
    def on_progress(message: str, partial: str | None = None) -> None:
        context.enter(Stage.CALL, message, None if request.privacy else partial)

    return await app.explain(call) if request.explain else await app.call(call, on_progress)


async def _settled(lease: Lease[Adapter], calling: asyncio.Future[AppAnswer]) -> AppAnswer:
    """The call's answer; a broken connection is explained by what became of the container."""
    try:
        return calling.result()
    except StepError as error:
        if error.kind is not ErrorKind.CRASHED:
            raise
        lease.discard()
        raise await lease.explain() or error from error


async def _end(
    lease: Lease[Adapter], calling: asyncio.Future[AppAnswer], dying: asyncio.Future[StepError]
) -> None:
    """Cut the call off where it is not over; an app that may go on with it loses its container."""
    ended = False
    try:
        for task in (calling, dying):
            task.cancel()
        await asyncio.gather(calling, dying, return_exceptions=True)
        ended = not lease.app.abandoned
    finally:
        if not ended:
            lease.discard()


def _follow(context: StepContext, stage: Stage, message: str) -> None:
    """Announces what the pool does, or that it waits."""
    context.enter(Stage.WAIT if message in (WAITING_FOR_CALLS, WAITING_FOR_ROOM) else stage, message)
