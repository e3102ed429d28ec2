"""Runs a step on a Space: its image, a container of it, one call; whatever fails becomes a StepError."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import monotonic, time

import structlog

from spacedock.request import JobRequest, Tier
from spacedock.result import AnsweredBy, AnswerKind, ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AppAnswer, AppCall
from spacedock_worker.adapters.command import answer_of, task_of
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.background import cancel_all
from spacedock_worker.containers.pool.lease import Lease
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.pool.slots import WAITING_FOR_CALLS, WAITING_FOR_ROOM
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import ImageGoneError, StepError, TryAgainError, UnexplainedError
from spacedock_worker.images.build.flavours import lacks_full
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.chain import StepAnswer, StepContext
from spacedock_worker.jobs.plan import SpaceStep, Step
from spacedock_worker.jobs.run_recorder import RunRecorder
from spacedock_worker.jobs.secrets import Secrets, tell_masked, unquoted
from spacedock_worker.jobs.space_spec import access_of, call_of, family_of, spec_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy

Expect = Callable[[Sequence[Step]], None]
"""Told which steps of a job may still run, whenever that changes."""

log = structlog.get_logger()


class SpaceRunner:
    """Runs the calls of jobs on Spaces of this host."""

    def __init__(
        self,
        policy: ImagePolicy,
        pool: Pool[Adapter],
        opener: Opener,
        secrets: Secrets | None = None,
        recorder: RunRecorder | None = None,
    ) -> None:
        self._policy, self._pool, self._opener = policy, pool, opener
        self._secrets, self._recorder = secrets or Secrets(None, {}), recorder or RunRecorder()

    @contextmanager
    def expecting(self, request: JobRequest) -> Iterator[Expect]:
        """A job's chain begins."""
        with self._pool.expecting() as expected:

            def expect(steps: Sequence[Step]) -> None:
                entries = [step.entry for step in steps if isinstance(step, SpaceStep)]
                expected.families = frozenset(family_of(e, private=request.privacy) for e in entries)

            yield expect

    async def run(self, entry: SpaceEntry, context: StepContext) -> StepAnswer:
        """Answer a job with one Space. Raises StepError."""
        if context.request.explain:
            return await self._run(entry, context)
        with self._recorder.run(entry.id, context):
            return await self._run(entry, context)

    async def _run(self, entry: SpaceEntry, context: StepContext) -> StepAnswer:
        image = await self._image(entry, context)
        try:
            return await self._asked(entry, image, context)
        except ImageGoneError as error:
            log.info("space.image_gone", space=entry.id, reason=str(error))
            other = await self._image(entry, context)
        except StepError as error:
            other = await self._on_full(entry, image, context, error)
        return await self._asked(entry, other, context)

    async def _on_full(
        self, entry: SpaceEntry, image: Image, context: StepContext, error: StepError
    ) -> Image:
        """The image on the full flavour of the base, where the Space may have failed for want of that.

        Raises the error itself where it tells of something else.
        """
        if image.flavour != "slim" or entry.flavour != "auto" or not lacks_full(str(error)):
            raise error
        log.info("space.needs_full_base", space=entry.id, kind=error.kind)
        context.enter(Stage.BUILD, "it lacks what the full base image may have: building it on that")
        try:
            full = await self._image(entry.model_copy(update={"flavour": "full"}), context)
        except StepError as why:
            if why.kind is not ErrorKind.BUILD_FAILED:
                raise
            raise error.copy(f"{error}\nThe full base image may have what it lacks, but {why}") from why
        if full.id == image.id:
            raise error
        return full

    async def _image(self, entry: SpaceEntry, context: StepContext) -> Image:
        started = monotonic()
        context.at(stage := Stage.BUILD if entry.docker_image is None else Stage.PULL)
        image = await self._policy.get(entry, context.repository, stage, partial(context.enter, stage))
        context.seconds["prepare"] = context.seconds.get("prepare", 0.0) + monotonic() - started
        context.digest = image.digest
        return image

    async def _asked(self, entry: SpaceEntry, image: Image, context: StepContext) -> StepAnswer:
        if context.recall is not None and (kept := await context.recall(entry, image)) is not None:
            context.enter(Stage.OUTPUT, "this was asked before: the answer is taken again")
            return kept
        context.at(Stage.START)
        spec = spec_of(entry, image, await self._secrets.of(entry), private=context.request.privacy)
        if spec.secrets:
            context.emit = partial(tell_masked, context.emit, spec.secrets)
        with unquoted(spec.secrets):
            ask = self._complete if entry.adapter == "command" else self._lease
            answer = as_given(await ask(entry, image, spec, context), entry.gives)
        by = AnsweredBy(
            tier=Tier.HEAVY,
            kind=AnswerKind.SPACE,
            name=entry.title,
            image=image.reference,
            image_digest=image.digest,
            endpoint=answer.endpoint,
            honoured=answer.honoured,
        )
        return StepAnswer(answer, by)

    async def _complete(
        self, entry: SpaceEntry, image: Image, spec: ContainerSpec, context: StepContext
    ) -> AppAnswer:
        """The answer of a program that runs once."""
        request = context.request
        if request.explain:
            message = "this Space is a program that runs once: it has no endpoints."
            raise StepError(Stage.CALL, ErrorKind.BAD_INPUT, message)
        call = call_of(entry, request, await context.files())
        task = task_of(call, request.timeout, private=request.privacy)
        task = replace(task, begin=partial(context.job.at_work, True))
        completed = await self._pool.complete(spec, task, partial(_follow, context, Stage.CALL))
        context.seconds |= {"start": completed.start_seconds, "call": completed.seconds}
        context.peak_memory = completed.peak_memory
        # Large files take long to hash.
        return await asyncio.to_thread(answer_of, completed)

    async def _lease(
        self, entry: SpaceEntry, image: Image, spec: ContainerSpec, context: StepContext
    ) -> AppAnswer:
        """The answer of an app that serves call after call; one that a slow host ended gets a second try."""
        try:
            return await self._leased(entry, image, spec, context)
        except TryAgainError as error:
            log.info("space.tried_again", space=spec.space, kind=error.kind)
        except StepError as error:
            if not ended_by_slowness(error, context.seconds):
                raise
            log.info("space.ended_early", space=spec.space)
        return await self._leased(entry, image, spec, context)

    async def _leased(
        self, entry: SpaceEntry, image: Image, spec: ContainerSpec, context: StepContext
    ) -> AppAnswer:
        context.seconds["start"] = 0.0
        connect = self._opener.connect_to(entry.app(image.digest), access_of(entry))
        connect = self._policy.watched(connect, image, entry)
        tell, owner = partial(_follow, context, Stage.READY), context.job.lane
        async with self._pool.lease(spec, connect, tell, owner) as lease:
            context.seconds["start"] = lease.start_seconds
            context.enter(Stage.CALL, "asking")
            call = call_of(entry, context.request, await context.files())
            await context.job.at_work(True)
            started, since = monotonic(), time()
            try:
                return await _call(lease, call, context)
            except UnexplainedError as error:
                raise await lease.with_log(error, since) from error
            finally:
                context.seconds["call"], context.peak_memory = monotonic() - started, lease.peak_memory


async def _call(lease: Lease[Adapter], call: AppCall, context: StepContext) -> AppAnswer:
    """Call the app; whichever is first, its answer, its death or the job's timeout, decides."""
    seconds = context.request.timeout
    calling = asyncio.ensure_future(_ask(lease.app, call, context))
    dying = asyncio.ensure_future(lease.wait_dead())
    try:
        await asyncio.wait({calling, dying}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if calling.done():
            return await _settled(lease, calling)
        if dying.done():
            lease.discard()
            raise dying.result()
    finally:
        await _end(lease, calling, dying)
    message = f"no answer within {seconds:g} s; the call was stopped. Give it a longer `timeout`."
    raise StepError(Stage.CALL, ErrorKind.TIMEOUT, message)


async def _ask(app: Adapter, call: AppCall, context: StepContext) -> AppAnswer:
    def on_progress(message: str, partial: str | None = None) -> None:
        context.enter(Stage.CALL, message, None if context.request.privacy else partial)

    return await app.explain(call) if context.request.explain else await app.call(call, on_progress)


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
        await cancel_all(calling, dying)
        ended = not lease.app.abandoned
    finally:
        if not ended:
            lease.discard()


def _follow(context: StepContext, stage: Stage, message: str) -> None:
    """Announces what the pool does, or that it waits."""
    context.enter(Stage.WAIT if message in (WAITING_FOR_CALLS, WAITING_FOR_ROOM) else stage, message)


EARLY_SECONDS = 10.0
_SLOW_PAGE = "When localhost is not accessible, a shareable link must be created"


def ended_by_slowness(error: StepError, seconds: Mapping[str, float]) -> bool:
    """Whether the app may do better the second time, as it ended at its start on a slow host.

    Gradio ends where its own page takes 3 s to come, as while a host starts much at once: it says so, or
    (Gradio 4) ends just after it began to answer.
    """
    if error.kind is not ErrorKind.CRASHED:
        return False
    if error.stage is Stage.READY:
        return _SLOW_PAGE in str(error)
    early = seconds.get("start", 0.0) > 0 and seconds.get("call", EARLY_SECONDS) < EARLY_SECONDS
    return error.stage is Stage.CALL and early


def as_given(answer: AppAnswer, gives: Collection[str]) -> AppAnswer:
    """The answer in the light of the kinds that its Space gives, such as {"text"}.

    Where text is given and there is none, but one file of text, such as a transcript, that is the text.
    """
    written = [file for file in answer.files if file.ref.media_type.startswith("text/")]
    if "text" not in gives or answer.text or len(written) != 1:
        return answer
    return replace(answer, text=written[0].data.decode(errors="replace"))
