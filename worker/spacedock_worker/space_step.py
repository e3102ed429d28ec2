"""Asking one Space: its image, a container of it, one call; whatever fails becomes a StepError."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import monotonic

from spacedock.files import Payload
from spacedock.request import JobRequest, Tier
from spacedock.result import AnsweredBy, AnswerKind, ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AppAnswer, AppCall
from spacedock_worker.chain import StepAnswer, Trace
from spacedock_worker.containers import ContainerSpec, Lease, Pool
from spacedock_worker.errors import StepError
from spacedock_worker.images import Image, Images, SpaceSource
from spacedock_worker.registry.entry import SpaceEntry

OpenAdapter = Callable[[str], AbstractAsyncContextManager[Adapter]]


class SpaceRunner:
    """Runs the calls of jobs on Spaces of this host."""

    def __init__(self, images: Images, pool: Pool, open_adapter: OpenAdapter) -> None:
        self._images, self._pool, self._open_adapter = images, pool, open_adapter

    async def take(
        self,
        entry: SpaceEntry,
        request: JobRequest,
        files: tuple[Payload, ...],
        repository: bytes | None,
        trace: Trace,
    ) -> StepAnswer:
        """Answer a job with one Space. Raises StepError."""
        image = await self._image(entry, repository, trace)
        trace.stage = Stage.START
        spec = spec_of(entry, image)
        async with self._pool.lease(spec, self._probe, lambda text: trace.enter(Stage.READY, text)) as lease:
            trace.seconds["start"] = lease.start_seconds
            trace.enter(Stage.CALL, "asking")
            started = monotonic()
            answer = await self._call(lease, call_of(entry, request, files), request.timeout, trace)
            trace.seconds["call"] = monotonic() - started
        by = AnsweredBy(
            tier=Tier.HEAVY,
            kind=AnswerKind.SPACE,
            name=entry.id,
            image=image.reference,
            image_digest=image.digest,
            endpoint=answer.endpoint,
        )
        return StepAnswer(answer, by)

    async def _image(self, entry: SpaceEntry, repository: bytes | None, trace: Trace) -> Image:
        started = monotonic()
        source = source_of(entry, repository)
        stage = Stage.BUILD if source.docker_image is None else Stage.PULL
        trace.stage = stage
        image = await self._images.get(source, lambda text: trace.enter(stage, text))
        trace.seconds["prepare"] = monotonic() - started
        return image

    async def _probe(self, base_url: str) -> bool:
        async with self._open_adapter(base_url) as adapter:
            return await adapter.is_ready()

    async def _call(self, lease: Lease, call: AppCall, limit: float, trace: Trace) -> AppAnswer:
        """Call the app; whichever is first, its answer, its death or the job's timeout, decides."""
        calling = asyncio.ensure_future(self._ask(lease.base_url, call, trace))
        dying = asyncio.ensure_future(lease.wait_dead())
        try:
            await asyncio.wait({calling, dying}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                return await self._settled(lease, calling)
            lease.discard()
            if dying.done():
                raise dying.result()
            raise StepError(
                Stage.CALL,
                ErrorKind.TIMEOUT,
                f"no answer within {limit:g} s; its container was stopped. Give it longer with --timeout.",
            )
        except asyncio.CancelledError:
            # The app goes on computing for a job that nobody wants: only its container's end stops it.
            lease.discard()
            raise
        finally:
            for task in (calling, dying):
                task.cancel()
            await asyncio.gather(calling, dying, return_exceptions=True)

    async def _settled(self, lease: Lease, calling: asyncio.Future[AppAnswer]) -> AppAnswer:
        """The call's answer; a broken connection is explained by what became of the container."""
        try:
            return calling.result()
        except StepError as error:
            if error.kind is not ErrorKind.CRASHED:
                raise
            lease.discard()
            raise await lease.explain() or error from error

    async def _ask(self, base_url: str, call: AppCall, trace: Trace) -> AppAnswer:
        async with self._open_adapter(base_url) as adapter:
            return await adapter.call(call, lambda text: trace.enter(Stage.CALL, text))


def source_of(entry: SpaceEntry, repository: bytes | None) -> SpaceSource:
    """Where the Space's image comes from; `repository` is the tar that the job brought."""
    kept = entry.repository
    found: Path | bytes | None = repository
    if found is None and kept is not None:
        found = Path(kept)
    return SpaceSource(
        name=entry.id,
        docker_image=entry.docker_image,
        repository=found,
        hub_id=entry.hub_id,
        command=entry.command,
        port=entry.port if "port" in entry.model_fields_set else None,
    )


def spec_of(entry: SpaceEntry, image: Image) -> ContainerSpec:
    """What to run for the Space."""
    return ContainerSpec(
        space=entry.id,
        reference=image.reference,
        digest=image.digest,
        command=image.command,
        port=image.port,
        env=entry.env,
        memory=entry.memory,
        start_timeout=entry.start_timeout,
    )


def call_of(entry: SpaceEntry, request: JobRequest, files: tuple[Payload, ...]) -> AppCall:
    """The call; what the job says goes before what the registry entry says."""
    return AppCall(
        prompt=request.prompt,
        files=files,
        inputs={**entry.inputs, **request.inputs},
        endpoint=request.endpoint or entry.endpoint,
    )
