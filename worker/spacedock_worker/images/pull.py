"""Looking at images that are present, and pulling those that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.errors import StepError
from spacedock_worker.images.progress import PullProgress

log = structlog.get_logger()

_NOT_FOUND = 404


async def inspect(engine: Engine, reference: str, stage: Stage) -> dict[str, Any] | None:
    """What the engine knows of the image; None where it is not present."""
    try:
        async with engine.call(stage) as docker:
            return await docker.images.inspect(reference)
    except RefusedError as error:
        if error.status == _NOT_FOUND:
            return None
        raise StepError(stage, ErrorKind.PULL_FAILED, f"{reference} cannot be looked at: {error}.") from error


async def pull(
    engine: Engine, reference: str, seconds: float, on_progress: Callable[[str], None]
) -> dict[str, Any]:
    """Pull the image and return what the engine knows of it.

    Raises StepError `pull_failed` at stage `pull`, with what to do, where it is not there after `seconds`.
    """
    on_progress(f"pulling {reference}")
    progress = PullProgress(reference)
    try:
        async with engine.stream(Stage.PULL, seconds) as docker:
            async for item in docker.images.pull(reference, stream=True):
                if text := progress.read(item):
                    on_progress(text)
    except TimeoutError as error:
        raise _failed(reference, f"not there after {seconds:g} s") from error
    except RefusedError as error:
        raise _failed(reference, error.message) from error
    # aiodocker ends a stream quietly where the connection broke, so only a look tells that all went well.
    if (found := await inspect(engine, reference, Stage.PULL)) is None:
        raise _failed(reference, "the Docker Engine ended the pull without saying why")
    log.info("image.pulled", image=reference)
    return found


def _failed(reference: str, why: str) -> StepError:
    return StepError(
        Stage.PULL,
        ErrorKind.PULL_FAILED,
        f"image {reference} cannot be pulled: {why.rstrip('.')}. {_advice(why)}",
    )


def _advice(why: str) -> str:
    """What to do, judged by the image registry's words: it sends no status through the engine."""
    text = why.lower()
    if any(word in text for word in ("unauthorized", "denied", "authentication", "forbidden", "401", "403")):
        return (
            "It is private or not there: check the name, `docker login`, or give a `repository` or `hub_id`."
        )
    if any(word in text for word in ("not found", "manifest unknown", "does not exist", "404")):
        return "Check the name and tag, or give the Space a `repository` or `hub_id` to build from."
    return "Check that this host reaches the image registry, or give the Space a `repository` or `hub_id`."
