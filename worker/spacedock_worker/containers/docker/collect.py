"""A program's output out of its stopped container: plain files only, never more than the limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.archive import BrokenTarError, Unpacking, inner_path
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.task import (
    OUTPUT_FOLDER,
    OUTPUT_TEXT,
    WORKSPACE,
    Captured,
    TaskLimits,
)
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_SECONDS = 120.0
_NOT_FOUND = 404

_T = TypeVar("_T")

CollectedFiles = tuple[tuple[str, bytes], ...]


async def collect(engine: Engine, name: str, limits: TaskLimits) -> tuple[Captured | None, CollectedFiles]:
    """The text in output.txt (None where it is empty), and the files of the output folder by their paths.

    Links, devices and pipes are left where they are. Raises StepError at stage `output`: `bad_output` where
    the files are over the limits, `timeout`, `crashed` where the container is gone, `docker_unavailable`.
    """
    text = await _read(engine, name, OUTPUT_TEXT, lambda archive: _text(archive, limits.text))
    files = await _read(engine, name, OUTPUT_FOLDER, lambda archive: _files(archive, limits))
    return text, files or ()


async def _text(archive: Unpacking, limit: int) -> Captured | None:
    entry = await archive.next()
    if entry is None or not entry.isreg() or entry.size == 0:
        return None
    return Captured(await archive.read(min(entry.size, limit)), truncated=entry.size > limit)


async def _files(archive: Unpacking, limits: TaskLimits) -> CollectedFiles:
    found: list[tuple[str, bytes]] = []
    total = count = skipped = 0
    while (entry := await archive.next()) is not None:
        count += 1
        total += entry.size
        if count > limits.count:
            raise _refused(f"has more than {limits.count} files and folders")
        if entry.isdir():
            continue
        path = inner_path(entry.name)
        if path is None or not entry.isreg():
            skipped += 1
            continue
        if entry.size > limits.file:
            allowed = f"{_megabytes(entry.size)}, of at most {_megabytes(limits.file)}"
            raise _refused(f"has a file of {allowed} ({path[-80:]!r})")
        if total > limits.files:
            raise _refused(f"holds more than {_megabytes(limits.files)}")
        found.append((path, await archive.read(entry.size)))
    if skipped:
        log.info("task.entries_skipped", count=skipped)
    return tuple(found)


async def _read(
    engine: Engine, name: str, path: str, take: Callable[[Unpacking], Awaitable[_T]]
) -> _T | None:
    """What `take` makes of a file's or folder's tar, as it comes from the engine; None where there is none.

    Hangs up when `take` returns, wherever in the tar that is.
    """
    try:
        async with (
            engine.stream(Stage.OUTPUT, _SECONDS) as docker,
            # aiodocker's own get_archive reads the whole into memory.
            docker._query(f"containers/{name}/archive", params={"path": f"{WORKSPACE}/{path}"}) as response,
        ):
            return await take(Unpacking(response.content))
    except EngineRefusedError as error:
        if error.status != _NOT_FOUND:
            raise _refused(f"cannot be read: {error.message}") from error
        if "No such container" in error.message:
            message = "the container is gone: somebody removed it."
            raise StepError(Stage.OUTPUT, ErrorKind.CRASHED, message) from error
        return None
    except (BrokenTarError, EOFError) as error:
        raise _refused("cannot be read to its end") from error
    except TimeoutError as error:
        message = f"the program's output could not be read within {_SECONDS:g} s. Have it write less."
        raise StepError(Stage.OUTPUT, ErrorKind.TIMEOUT, message) from error


def _refused(what: str) -> StepError:
    return StepError(
        Stage.OUTPUT, ErrorKind.BAD_OUTPUT, f"the program's output folder {what}. Have it write less there."
    )


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"
