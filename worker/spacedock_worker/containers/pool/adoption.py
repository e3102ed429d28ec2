"""What an earlier life of the worker left warm: its notes of idle containers, and taking these over."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.atomic_write import write_whole
from spacedock_worker.background import cancel_all, forever
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.removal import listed
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_VERSION = 1


@dataclass(frozen=True, slots=True)
class IdleNote:
    """An idle container: whose it is, by which configuration it was made, and what it takes.

    `memory` is its limit in bytes, `start_seconds` what its start took, `family` as in its spec.
    """

    space: str
    key: str
    config: str
    memory: int
    gpus: int
    start_seconds: float
    family: str = ""

    @property
    def room(self) -> Room:
        """What the container takes."""
        return Room(1, self.memory, self.gpus)


class IdleNotes:
    """One small file for each idle container, which is gone while a call uses it.

    A worker that is killed in a call leaves none: what its container is doing nobody knows. Nothing is
    synchronised to the disk: a host that lost its power has no running containers either. Never raises:
    a note that cannot be written costs a warm start, no more.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def write(self, name: str, note: IdleNote) -> None:
        """The container of that name is idle."""
        if self._folder is None:
            return
        try:
            write_whole(self._folder / name, json.dumps({"version": _VERSION, **asdict(note)}).encode())
        except OSError as error:
            log.warning("warm.not_noted", container=name, reason=str(error))

    def drop(self, name: str) -> None:
        """The container of that name is in use, or gone."""
        if self._folder is not None:
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("warm.not_dropped", container=name, reason=str(error))

    def read(self) -> Mapping[str, IdleNote]:
        """The notes by the containers' names; what cannot be read is no note."""
        if self._folder is None or not self._folder.is_dir():
            return {}
        found = {path.name: _note(path) for path in sorted(self._folder.iterdir())}
        return {name: note for name, note in found.items() if note is not None and not name.startswith(".")}


def _note(path: Path) -> IdleNote | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.pop("version") != _VERSION:
            return None
        return IdleNote(**fields)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


@dataclass(frozen=True, slots=True)
class Survivor:
    """An idle container that an earlier worker left: `stopped`, or running (paused or not)."""

    name: str
    note: IdleNote
    stopped: bool


async def survivors(engine: Engine, settings: ContainerSettings, notes: IdleNotes) -> list[Survivor]:
    """The idle containers that a worker of the same configuration left.

    Raises StepError `docker_unavailable` where the engine does not tell.
    """
    config = config_of(settings)
    try:
        found = await listed(engine, settings.instance_id)
    except EngineRefusedError as error:
        message = f"{error}. Try `docker info`."
        raise StepError(Stage.START, ErrorKind.DOCKER_UNAVAILABLE, message, host=True) from error
    return [
        Survivor(name, note, stopped=found[name] == "exited")
        for name, note in notes.read().items()
        if note.config == config and found.get(name) in ("running", "paused", "exited")
    ]


def config_of(settings: ContainerSettings) -> str:
    """The same for settings, and releases of ours, by which the same containers are made."""
    made_by = f"{version('hf-spacedock')} {settings.model_dump_json(exclude={'state', 'docker_host'})}"
    return hashlib.sha256(made_by.encode()).hexdigest()


_FIRST_SECONDS = 1.0
"""How long the start of the worker waits for the first try at most: an engine that hangs must not keep it."""

_PAUSE = 5.0


class Adoption:
    """Does `take` once; that raises StepError while the engine cannot be asked, and is then tried again.

    After it, `tidy` is done again and again: a container whose removal failed must not wait for the next
    start, as nobody watches what it writes.
    """

    def __init__(
        self, take: Callable[[], Awaitable[None]], tidy: Callable[[], Awaitable[None]], pause: float = _PAUSE
    ) -> None:
        self._take, self._tidy, self._pause = take, tidy, pause
        self._done = False
        self._taking = asyncio.Lock()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; returns after the first try, or after 1 s where that takes longer."""
        self._task = asyncio.create_task(forever("adoption", self._turn, self._pause, trouble=(StepError,)))
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SECONDS):
                await self._tried.wait()

    async def stop(self) -> None:
        """Try no longer; twice, or before the start, is safe."""
        task, self._task = self._task, None
        if task is not None:
            await cancel_all(task)

    async def finish(self) -> None:
        """Return once it is done, now if the engine answers. Raises StepError."""
        async with self._taking:
            if not self._done:
                await self._take()
                self._done = True

    async def _turn(self) -> None:
        try:
            await self.finish()
        finally:
            self._tried.set()
        await self._tidy()
