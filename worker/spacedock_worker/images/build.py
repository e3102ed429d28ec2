"""Building an image with the engine's own builder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.containers.words import last_words
from spacedock_worker.errors import StepError
from spacedock_worker.images.context import BuildContext
from spacedock_worker.images.progress import build_progress
from spacedock_worker.images.pull import inspect

log = structlog.get_logger()

_KEPT_CHUNKS = 200
_SHOWN_LINES = 15
_NOISE = (" ---> ", "Removing intermediate container", "Step ")


async def build(
    engine: Engine,
    context: BuildContext,
    *,
    tag: str,
    labels: Mapping[str, str],
    words: Sequence[str],
    seconds: float,
    on_progress: Callable[[str], None],
) -> dict[str, Any]:
    """Build the image `tag` and return what the engine knows of it.

    The build runs on the default bridge and gets no secrets: no build arguments, no credentials. Raises
    StepError `build_failed` with the last lines that the build said.
    """
    said: deque[str] = deque(maxlen=_KEPT_CHUNKS)
    try:
        async with engine.stream(Stage.BUILD, seconds) as docker:
            items = docker.images.build(
                fileobj=context.tar,
                encoding="identity",
                tag=tag,
                rm=True,
                forcerm=True,
                labels=labels,
                stream=True,
            )
            async for item in items:
                _hear(item, said, words, on_progress)
    except TimeoutError as error:
        raise _failed(tag, said, f"not built after {seconds:g} s") from error
    except RefusedError as error:
        raise _failed(tag, said, error.message) from error
    if (found := await inspect(engine, tag, Stage.BUILD)) is None:
        raise _failed(tag, said, "the Docker Engine ended the build without saying why")
    log.info("image.built", image=tag)
    return found


def _hear(
    item: Mapping[str, Any], said: deque[str], words: Sequence[str], on_progress: Callable[[str], None]
) -> None:
    line = item.get("stream")
    if not isinstance(line, str):
        return
    if text := build_progress(line, words):
        on_progress(text)
        # What an earlier step said does not explain why this one failed.
        said.clear()
    elif not line.startswith(_NOISE):
        said.append(line)


def _failed(tag: str, said: deque[str], why: str) -> StepError:
    lines = last_words(said, _SHOWN_LINES)
    return StepError(
        Stage.BUILD,
        ErrorKind.BUILD_FAILED,
        f"{tag} cannot be built: {why}. Correct the Space's repository (requirements.txt, packages.txt or "
        f"Dockerfile), or the settings of images." + (f"\n{lines}" if lines else ""),
    )
