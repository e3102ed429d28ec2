"""A program that runs once: what it is given, what it leaves, and how much of that is taken (values)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from spacedock.files import MAX_FILE_BYTES, MAX_JOB_BYTES

WORKSPACE = "/workspace"
"""The folder of one task: a volume of its own, which goes with the container."""

INPUT_FOLDER = "input"
OUTPUT_FOLDER = "output"
OUTPUT_TEXT = "output.txt"

Begin = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Task:
    """What one run is given: `files` by their paths below the workspace, `env` besides the Space's own.

    `timeout` bounds the program's own time, in seconds; its container's start has a limit of its own.
    `begin` is awaited once there is room for the run.
    """

    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 300.0
    begin: Begin | None = None


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """Bytes at most: kept of stdout and output.txt (from the start) and of stderr (from the end), of one
    output file, of all together. `count` bounds the files and folders, `written` what a program may write to
    both streams before it is taken for one that never stops.
    """

    text: int = 16 * 2**20
    stderr: int = 64 * 2**10
    file: int = MAX_FILE_BYTES
    files: int = MAX_JOB_BYTES
    count: int = 1000
    written: int = 2**30


@dataclass(frozen=True, slots=True)
class Captured:
    """What was kept of a stream or of a text; `truncated` where there was more."""

    data: bytes = b""
    truncated: bool = False

    @property
    def text(self) -> str:
        """The data as text; what is no UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended. `text` is its output.txt (None: it wrote none), `files` its output folder's
    by their paths in there; neither is taken of a program that failed.

    `start_seconds` passed from the container's creation to the program's start, `seconds` until its end;
    `peak_memory` are the most bytes that it was seen to use, None where it was too quick for that.
    """

    exit_code: int
    stdout: Captured = Captured()
    stderr: Captured = Captured()
    text: Captured | None = None
    files: tuple[tuple[str, bytes], ...] = ()
    start_seconds: float = 0.0
    seconds: float = 0.0
    peak_memory: int | None = None
