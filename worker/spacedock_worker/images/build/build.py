"""Building an image with the engine's own builder."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from aiodocker import Docker
from aiodocker.jsonstream import json_stream_stream
from aiohttp import ClientTimeout

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.diagnosis import host_fault
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.log_tail import last_words
from spacedock_worker.containers.machine.capacity import free_bytes
from spacedock_worker.errors import StepError, full_disk, tells_full_disk
from spacedock_worker.images.build.context import BuildContext
from spacedock_worker.images.progress import build_progress
from spacedock_worker.images.pulls import inspect

log = structlog.get_logger()

_KEPT_CHUNKS = 200
_SHOWN_LINES = 15
_KILLED = "returned a non-zero code: 137"
_COMMAND_FAILED = "The command "
_VANISHED = (
    *("unable to find image", "no such image", "unknown parent image"),
    *("failed to get layer", "layer does not exist"),
)
"""What the engine says where somebody removed an image that it had just taken from the build's cache."""
_NO_NETWORK = "failed to create endpoint"
"""The engine cannot connect a container of the build: its bridge or its firewall rules are gone."""

_DISTRUST = "certificate verify failed"
_UNTRUSTED = (
    "it does not trust the certificate of a server that it asks, as behind a company's proxy: name "
    "its authority's PEM file in the setting `ca_bundle` of images."
)
_FAULTY = (
    "Correct the Space's repository (requirements.txt, packages.txt or Dockerfile), or the settings of "
    "images."
)
_ROOM = 20 * 10**9
"""Bytes that few builds take: where a step found no room with so many free, it filled something else."""
_NOISE = (" ---> ", "Removing intermediate container", "Step ")


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What a build may take: seconds for all of it, bytes of memory for a step; and the network it is on."""

    seconds: float
    memory: int
    network: str | None = None


async def build(
    engine: Engine,
    context: BuildContext,
    *,
    tag: str,
    dockerfile: str = "Dockerfile",
    labels: Mapping[str, str],
    words: Sequence[str],
    limits: BuildLimits,
    on_progress: Callable[[str], None],
) -> dict[str, Any]:
    """Build the image `tag` by the Dockerfile of that name; returns what the engine knows of it.

    The build gets no secrets and no credentials; its arguments are the platform's alone. Where it is
    cancelled or takes too long, we hang up, and the engine ends it. Raises StepError `build_failed` with the
    last lines that the build said, `out_of_disk`, or the host's fault.
    """
    said: deque[str] = deque(maxlen=_KEPT_CHUNKS)

    async def once() -> None:
        async with (
            engine.stream(Stage.BUILD, limits.seconds) as docker,
            aclosing(_stream(docker, context, tag, dockerfile, labels, limits)) as items,
        ):
            async for item in items:
                _hear(item, said, words, on_progress)

    try:
        try:
            await once()
        except EngineRefusedError as error:
            if not _lost_cache(error):
                raise
            log.info("image.cache_lost", image=tag, reason=error.message)
            await once()
    except TimeoutError as error:
        why = f"not built after {limits.seconds:g} s (`images.build_timeout`)"
        raise failed(tag, said, why) from error
    except EngineRefusedError as error:
        engines_own = tells_full_disk(error.message) and not error.message.startswith(_COMMAND_FAILED)
        if engines_own or await found_no_room(engine, said):
            raise full_disk(Stage.BUILD, f"{tag} cannot be built") from error
        if error.message.startswith(_NO_NETWORK):
            raise host_fault(error.message) from error
        killed = _KILLED in error.message
        hint = f" (killed; a step may take {limits.memory / 2**30:g} GB, see `images.build_memory`)"
        raise failed(tag, said, error.message + (hint if killed else "")) from error
    if (found := await inspect(engine, tag, Stage.BUILD)) is None:
        raise failed(tag, said, "the Docker Engine ended the build without saying why")
    log.info("image.built", image=tag, bytes=found.get("Size"))
    return found


async def _stream(
    docker: Docker,
    context: BuildContext,
    tag: str,
    dockerfile: str,
    labels: Mapping[str, str],
    limits: BuildLimits,
) -> AsyncGenerator[dict[str, Any]]:
    """What the classic builder says: aiodocker's own method has no limits."""
    context.tar.seek(0)
    params = {
        "t": tag,
        "dockerfile": dockerfile,
        "rm": "1",
        "forcerm": "1",
        "labels": json.dumps(labels),
        "memory": str(limits.memory),
        # The same: no swap besides.
        "memswap": str(limits.memory),
    }
    architecture = str((await docker.version()).get("Arch") or "amd64")
    # BuildKit sets these itself; Dockerfiles count on them.
    own = {"PLATFORM": f"linux/{architecture}", "OS": "linux", "ARCH": architecture}
    platform = {f"{where}{name}": value for where in ("TARGET", "BUILD") for name, value in own.items()}
    params["buildargs"] = json.dumps(platform)
    if limits.network is not None:
        params["networkmode"] = limits.network
    async with docker._query(
        "build",
        "POST",
        params=params,
        headers={"content-type": "application/x-tar"},
        data=docker.images._stream(context.tar),
        timeout=ClientTimeout(total=None, sock_read=None),
    ) as response:
        async for item in json_stream_stream(response):
            yield item


def _lost_cache(error: EngineRefusedError) -> bool:
    """Whether the build failed for want of an image that was there when it began (pure)."""
    lowered = error.message.lower()
    # What a step printed is its own.
    return not error.message.startswith(_COMMAND_FAILED) and any(words in lowered for words in _VANISHED)


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


async def found_no_room(engine: Engine, said: Iterable[str]) -> bool:
    """Whether the step that said this failed as the engine's disk is full: what it wrote is gone by now."""
    if not tells_full_disk("\n".join(said)):
        return False
    async with engine.call(Stage.BUILD) as docker:
        info = await docker.system.info() if docker.docker_host.startswith("unix:") else {}
    free = await asyncio.to_thread(free_bytes, info)
    return free is None or free < _ROOM


def failed(tag: str, said: Iterable[str], why: str) -> StepError:
    """The error for a build that failed: why, and what it said last."""
    lines = last_words(said, _SHOWN_LINES)
    # A batch's summary shows no more than the beginning, and the command that failed is long.
    told = f"{_UNTRUSTED} {why}." if _DISTRUST in lines.lower() else f"{why}. {_FAULTY}"
    message = f"{tag} cannot be built: {told}"
    return StepError(Stage.BUILD, ErrorKind.BUILD_FAILED, message + (f"\n{lines}" if lines else ""))
