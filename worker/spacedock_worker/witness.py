"""What the daemon reads of its worker: how it stands, and which job its loop is busy with, even if frozen.

A job's tasks are run through `_Step`, which notes the job's id in a mapped file whenever the loop takes one
up, and takes it out whenever it goes on to something else. So the note stands as long as the job holds the
loop, whatever holds it: even code that keeps the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")

WITNESS = "loop"
"""The file's name in the state directory."""

_WORKER, _JOB, _KILLS = slice(0, 256), slice(256, 512), slice(512, 768)
_NOBODY = bytes(256)
_MOST_CHARS = 500

_step: ContextVar[Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]] | None] = ContextVar("step")


class Witness:
    """Notes the job that the running loop is busy with; used within `with`, in the loop's own thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._path.write_bytes(_NOBODY + _NOBODY + _field(kernel_kills()))
        with self._path.open("r+b") as file:
            self._note = mmap.mmap(file.fileno(), 0)
        asyncio.get_running_loop().set_task_factory(_task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().set_task_factory(None)
        self._path.unlink(missing_ok=True)

    def worker_is(self, worker_id: str) -> None:
        """Note who is the worker."""
        self._note[_WORKER] = _field(worker_id)

    async def seen(self, job_id: str, work: Coroutine[Any, Any, T]) -> T:
        """`work` for that job, noted, with all tasks that it makes."""
        name, note = _field(job_id), self._note
        _step.set(lambda coroutine: _Step(coroutine, note, name))
        return await _Step(work, note, name)


@dataclass(frozen=True, slots=True)
class Note:
    """A worker's id, the job that its loop is busy with ("": none), and `kernel_kills` when it started."""

    worker_id: str
    job_id: str
    kills: str

    @property
    def starved(self) -> bool:
        """Whether the kernel may have killed the worker for want of memory. Nothing of a past boot counts."""
        (boot, _, before), (booted, _, now) = self.kills.partition(" "), kernel_kills().partition(" ")
        return not before or not now or (boot == booted and before != now)


def kernel_kills() -> str:
    """This boot's id, and how many processes the kernel killed in it for want of memory; "" if unknown."""
    with suppress(OSError, KeyError, ValueError):
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {counters['oom_kill']}"
    return ""


def read(path: Path) -> Note | None:
    """What a worker has noted; None where there is no note. Reads a small file."""
    try:
        noted = path.read_bytes()
    except OSError:
        return None
    note = Note(*(noted[at].rstrip(b"\0").decode(errors="replace") for at in (_WORKER, _JOB, _KILLS)))
    return note if note.worker_id else None


def _field(text: str) -> bytes:
    return text.encode()[:256].ljust(256, b"\0")


def _task(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """The task factory: a task that a job's work makes is the job's work, too."""
    context = more.get("context")
    step = _step.get(None) if context is None else context.get(_step)
    return asyncio.Task(work if step is None else step(work), loop=loop, **more)


class _Step(Coroutine[Any, Any, T]):
    """A coroutine whose job is noted while it is being run."""

    def __init__(self, work: Coroutine[Any, Any, T], note: mmap.mmap, name: bytes) -> None:
        self._work, self._note, self._name = work, note, name

    def send(self, value: Any) -> Any:
        self._note[_JOB] = self._name
        try:
            return self._work.send(value)
        finally:
            self._note[_JOB] = _NOBODY

    def throw(self, *error: Any) -> Any:
        self._note[_JOB] = self._name
        try:
            return self._work.throw(*error)
        finally:
            self._note[_JOB] = _NOBODY

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)


class Condition(BaseModel):
    """What is wrong with the Docker Engine and with registry.yaml, in words; None where nothing is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    engine: str | None = None
    registry: str | None = None

    def as_line(self) -> bytes:
        """One line of JSON, short enough to go through a pipe in one piece."""
        short = {name: why and why[:_MOST_CHARS] for name, why in self}
        return self.model_copy(update=short).model_dump_json().encode() + b"\n"


class Conditions:
    """How the worker stands now, for whoever notes it and whoever tells it."""

    now = Condition()
