"""Images by their names: present on this host, or pulled, and pulled again if interrupted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import OnProgress, Shared, TimedCache
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.errors import StepError, full_disk, tells_full_disk
from spacedock_worker.images.oci.credentials import Credentials, Keyring
from spacedock_worker.images.oci.manifest import ImageManifest, Platform, is_of
from spacedock_worker.images.oci.preflight import Preflight
from spacedock_worker.images.oci.reference import BUILT_PREFIX, Reference, familiar, parse_reference
from spacedock_worker.images.progress import PullProgress
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import digest_of
from spacedock_worker.metrics import WorkCount

log = structlog.get_logger()

_PULL_AGAIN_SECONDS = 600.0
PAUSES = (1.0, 3.0, 10.0, 30.0)
"""Seconds before each new attempt of a pull that was interrupted."""

_BROKEN = ("eof", "reset", "timeout", "timed out", "refused", "broken pipe", "closed", "unreachable")
"""What the engine says of a connection that broke; other words mean that no new attempt would help."""

_HUNG_UP = re.compile(r"\beof\b|connection reset|broken pipe|server closed")
"""What it says of an image registry that hangs up, as one that restarts does: also before the first layer."""

_BUSY = ("http status: 5", "http status: 429", "http 5", "http 429", "toomanyrequests", "too many requests")
"""What it says of an image registry that is busy or out of order for now. An empty body has its own words."""


async def inspect(engine: Engine, reference: str, stage: Stage) -> dict[str, Any] | None:
    """What the engine knows of the image; None where it is not present."""
    try:
        async with engine.call(stage) as docker:
            return await docker.images.inspect(reference)
    except EngineRefusedError as error:
        if error.not_found:
            return None
        raise StepError(stage, ErrorKind.PULL_FAILED, f"{reference} cannot be looked at: {error}.") from error


class Pull:
    """Pulls one image.

    An engine goes on by itself with a layer where the connection to the image registry broke, for about a
    minute. What it has when its own connection to us breaks, it drops; but after its restart, it has it.
    """

    def __init__(
        self,
        engine: Engine,
        reference: Reference,
        manifest: ImageManifest | None,
        own: Credentials | None,
        on_progress: Callable[[str], None],
        pauses: Sequence[float] = PAUSES,
        *,
        platform: Platform | None = None,
    ) -> None:
        self._platform = str(platform) if platform is not None else None
        self._engine, self._reference, self._own, self._hear = engine, reference, own, on_progress
        self._pauses = pauses
        self._progress = PullProgress(str(reference), manifest)

    async def run(self, seconds: float) -> dict[str, Any]:
        """Pull, and return what the engine knows of the image.

        Raises StepError at stage `pull`: `pull_failed`, with what to do, where it is not there after
        `seconds`, `docker_unavailable` where there is no engine.
        """
        self._hear(f"pulling {self._reference}")
        try:
            async with asyncio.timeout(seconds) as deadline:
                for pause in self._pauses:
                    try:
                        return await self._attempt(seconds)
                    except StepError as error:
                        if (why := self._passing(error)) is None:
                            raise
                        log.info("image.pull_interrupted", image=str(self._reference), reason=str(error))
                    self._hear(f"pulling {self._reference} {why}: trying again")
                    await asyncio.sleep(pause)
                return await self._attempt(seconds)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise _failed(self._reference, f"not there after {seconds:g} s") from error

    async def _attempt(self, seconds: float) -> dict[str, Any]:
        auth = self._own.for_engine() if self._own else None
        try:
            async with self._engine.stream(Stage.PULL, seconds) as docker:
                items = docker.images.pull(
                    str(self._reference), auth=auth, platform=self._platform, stream=True
                )
                async for item in items:
                    if text := self._progress.read(item):
                        self._hear(text)
        except EngineRefusedError as error:
            raise _failed(self._reference, error.message) from error
        # aiodocker ends a stream quietly where the connection broke, so only a look tells that all went well.
        if (found := await inspect(self._engine, str(self._reference), Stage.PULL)) is None:
            raise _failed(
                self._reference, "the Docker Engine closed the connection in the middle of the pull"
            )
        if text := self._progress.done():
            self._hear(text)
        log.info("image.pulled", image=str(self._reference))
        return found

    def _passing(self, error: StepError) -> str | None:
        """What happened to the pull, where a new attempt may help."""
        words = str(error).replace(str(self._reference), "").lower()
        if any(busy in words for busy in _BUSY):
            return "met an image registry that is busy"
        if _HUNG_UP.search(words):
            return "was interrupted"
        broke = error.kind is ErrorKind.DOCKER_UNAVAILABLE or any(word in words for word in _BROKEN)
        return "was interrupted" if broke and self._progress.begun else None


def _failed(reference: Reference, why: str) -> StepError:
    if tells_full_disk(why):
        return full_disk(Stage.PULL, f"image {reference} cannot be pulled")
    return StepError(
        Stage.PULL,
        ErrorKind.PULL_FAILED,
        f"image {reference} cannot be pulled: {why.rstrip('.')}. {_advice(why)}",
    )


_BUILD_IT = "give the Space a `repository` or `hub_id` to build from."
_LATER = f"submit the job again after {_PULL_AGAIN_SECONDS / 60:.0f} minutes"
_ADVICE = (
    (r"unauthorized|denied|authentication|forbidden|\b40[13]\b",
     f"It is private or not there: check the name, `docker login`, or {_BUILD_IT}"),
    (r"not found|manifest unknown|does not exist|\b404\b", f"Check the name and tag, or {_BUILD_IT}"),
    (r"verification failed|digest",
     f"What was sent is not what the manifest names: push the image again, check a proxy, or {_BUILD_IT}"),
    (r"redirects", f"Check the address of the image registry, check a proxy, or {_BUILD_IT}"),
    (r"429|too ?many ?requests",
     f"Its image registry limits this host: `docker login` there, {_LATER}, or {_BUILD_IT}"),
    (r"http (?:status: )?5|\beof\b|connection reset",
     f"Its image registry is out of order: {_LATER}, or {_BUILD_IT}"),
    ("", f"Check that this host reaches the image registry, or {_BUILD_IT}"),
)  # fmt: skip
"""What to do, judged by the words of the image registry: it sends no status through the engine."""


def _advice(why: str) -> str:
    return next(advice for words, advice in _ADVICE if re.search(words, why.lower()))


Pulled = Callable[[str, str], Awaitable[None]]
"""Hears the reference and the digest of an image that was pulled for a Space."""


class Pulls:
    """Pulls each image once at a time; a pull that failed is not tried again for 10 minutes."""

    def __init__(self, engine: Engine, settings: ImageSettings, pulled: Pulled | None = None) -> None:
        self.tally = WorkCount()
        self._engine, self._settings, self._pulled = engine, settings, pulled
        self._keyring = Keyring(settings)
        self._preflight = Preflight(engine, settings)
        self._shared: Shared[dict[str, Any]] = Shared()
        self._failed: TimedCache[StepError] = TimedCache(_PULL_AGAIN_SECONDS)

    async def get(
        self, name: str, on_progress: OnProgress, platform: Platform | None = None
    ) -> dict[str, Any]:
        """What the engine knows of the image `name` for that platform, which is there when this returns.

        Raises StepError at stage `pull`: `pull_failed`, `out_of_disk` or `docker_unavailable`.
        """
        return await self._get(name, on_progress, self._pulled, platform)

    async def base(self, name: str, on_progress: OnProgress) -> dict[str, Any]:
        """The same of an image that others are built on: of its pull nobody is told."""
        return await self._get(name, on_progress, None)

    async def _get(
        self, name: str, on_progress: OnProgress, pulled: Pulled | None, platform: Platform | None = None
    ) -> dict[str, Any]:
        found = await inspect(self._engine, name, Stage.PULL)
        if found is not None and is_of(found, platform):
            return found
        reference = parse_reference(name)
        if familiar(str(reference)).startswith(BUILT_PREFIX):
            raise _never_pulled(name)
        key = f"{reference} {platform or ''}"
        if (failure := self._failed.get(key)) is not None:
            raise failure.with_traceback(None)
        found = await self._shared.run(
            key, lambda tell: self._pull(reference, platform, key, tell), on_progress
        )
        if pulled is not None:
            await pulled(name, digest_of(name, found))
        return found

    async def offered(self, name: str) -> bool | None:
        """Whether the image's registry has it; None where it cannot be asked.

        Raises StepError `pull_failed` where it refuses to say.
        """
        reference = parse_reference(name)
        return await self._preflight.offered(reference, await self._keyring.find(reference.registry))

    async def tags(self, name: str) -> tuple[str, ...]:
        """The tags of the image that its registry tells of."""
        reference = parse_reference(name)
        return await self._preflight.tags(reference, await self._keyring.find(reference.registry))

    async def _pull(
        self, reference: Reference, platform: Platform | None, key: str, on_progress: OnProgress
    ) -> dict[str, Any]:
        try:
            own = await self._keyring.find(reference.registry)
            manifest = await self._preflight.check(reference, own, platform)
            pull = Pull(self._engine, reference, manifest, own, on_progress, platform=platform)
            with self.tally.counted():
                return await pull.run(self._settings.pull_timeout)
        except StepError as error:
            if error.kind is ErrorKind.PULL_FAILED:
                self._failed.put(key, error)
            raise


def _never_pulled(name: str) -> StepError:
    message = (
        f"image {name} is not on this host, and images called {BUILT_PREFIX}… are built here, never pulled. "
        "Give the Space a `hub_id` or `repository`, or its image another name."
    )
    return StepError(Stage.PULL, ErrorKind.PULL_FAILED, message)
