"""A program that runs once: what it is given, what it leaves, and its standard streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiodocker import Docker
from aiodocker.stream import Stream

from spacedock.files import MAX_FILE_BYTES, MAX_JOB_BYTES
from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError

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


_STDERR = 2


class Streams:
    """What a program writes, bounded: the start of its stdout and the end of its stderr."""

    def __init__(self, output: Stream, limits: TaskLimits) -> None:
        self._output = output
        self._limits = limits
        self._stdout, self._stderr = bytearray(), bytearray()
        self._written = [0, 0]

    async def drain(self) -> None:
        """Read both streams until the program has closed them; what is not kept is read all the same.

        Raises StepError `bad_output` for a program that does not stop writing.
        """
        while (message := await self._output.read_out()) is not None:
            self._take(message.stream == _STDERR, message.data)
            if sum(self._written) > self._limits.written:
                megabytes = self._limits.written // 2**20
                text = f"the program wrote more than {megabytes} MB to stdout and stderr, and was stopped."
                raise StepError(Stage.CALL, ErrorKind.BAD_OUTPUT, text)

    def stdout(self, *, broken: bool = False) -> Captured:
        """The start of stdout; `broken` says that it was not read to its end."""
        return Captured(bytes(self._stdout), broken or self._written[False] > len(self._stdout))

    def stderr(self, *, broken: bool = False) -> Captured:
        """The end of stderr."""
        kept = bytes(self._stderr[-self._limits.stderr :])
        return Captured(kept, broken or self._written[True] > len(kept))

    def _take(self, is_error: bool, data: bytes) -> None:
        self._written[is_error] += len(data)
        if is_error:
            self._stderr += data
            if len(self._stderr) > 2 * self._limits.stderr:
                del self._stderr[: -self._limits.stderr]
        else:
            self._stdout += data[: self._limits.text - len(self._stdout)]


@asynccontextmanager
async def attached(docker: Docker, name: str, stdin: bytes, limits: TaskLimits) -> AsyncIterator[Streams]:
    """The streams of a container that is created and not started yet; `stdin` is all that it will read."""
    async with (
        docker.containers.container(name).attach(stdout=True, stderr=True) as output,
        _input(docker, name) as transport,
    ):
        # Buffered here as far as the program has not read it yet: nobody waits for one that never does.
        transport.write(stdin)
        transport.write_eof()
        yield Streams(output, limits)


@asynccontextmanager
async def _input(docker: Docker, name: str) -> AsyncIterator[asyncio.Transport]:
    """The way to a container's stdin: aiodocker's own cannot tell its end and stay open.

    Closed at the end, with what nobody has read.
    """
    async with docker._query(
        f"containers/{name}/attach",
        method="POST",
        params={"stream": 1, "stdin": 1},
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        read_until_eof=False,
    ) as response:
        connection = response.connection
        if connection is None or not isinstance(connection.transport, asyncio.Transport):
            raise ConnectionResetError("the engine hung up on stdin")
        transport = connection.transport
        try:
            yield transport
        finally:
            transport.abort()
