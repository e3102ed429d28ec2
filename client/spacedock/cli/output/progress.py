"""What people see while they wait: where the job stands, and its answer's text as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from spacedock.cli.output.text import printable, say
from spacedock.cli.output.units import age
from spacedock.client import Client
from spacedock.errors import SpacedockError

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN_LINES = 12
_LEAST_PAUSE, _PAUSE_SHARE = 10.0, 10
"""A line of progress comes after 10 s, then whenever a tenth of the time so far has passed, 10 s at least."""


class Timer(Protocol):
    """What calls off a line that is to come."""

    def cancel(self) -> None:
        """Call it off."""
        ...


Later = Callable[[float, Callable[[], None]], Timer]


class ProgressLines:
    """Says a line from time to time: a log is no place for a bar. In 10 hours these are some 75 lines.

    `say_line` says it, each `every` seconds if that is given; `passed` has the seconds until the next is due.
    """

    def __init__(
        self, say_line: Callable[[], None], later: Later | None = None, every: float | None = None
    ) -> None:
        self._say_line, self._later, self._every = say_line, later, every
        self.passed = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Say the first line in a while."""
        later = self._later or asyncio.get_running_loop().call_later
        pause = self._every or max(_LEAST_PAUSE, self.passed / _PAUSE_SHARE)
        self.passed += pause
        self._timer = later(pause, self._say)

    def stop(self) -> None:
        """Say no more; twice is safe."""
        if self._timer is not None:
            self._timer.cancel()

    def _say(self) -> None:
        self._say_line()
        self.start()


@asynccontextmanager
async def progress_shown(client: Client, job_id: str) -> AsyncIterator[None]:
    """Show a job's progress while the block runs: on a terminal until it ends, else a line now and then."""
    from rich.console import Console

    console = Console(stderr=True)
    showing = asyncio.create_task(
        _show(client, job_id, console) if console.is_terminal else _tell(client, job_id)
    )
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _tell(client: Client, job_id: str, later: Later | None = None) -> None:
    last = "waiting for a worker"
    lines = ProgressLines(lambda: say(f"{last}, after {age(lines.passed)}"), later)
    lines.start()
    try:
        # Whoever may not watch can still wait for the result.
        with suppress(SpacedockError):
            async for event in client.watch(job_id):
                if event.stage is not None:
                    last = f"{event.name}: {event.message}"
    finally:
        lines.stop()


async def _show(client: Client, job_id: str, console: Console) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    line = Spinner("dots", Text("waiting for a worker"))
    with Live(line, console=console, transient=True, refresh_per_second=10) as live:
        grown = ""
        with suppress(SpacedockError):
            async for event in client.watch(job_id):
                if event.stage is not None:
                    grown = event.partial or grown
                    line.update(text=Text(printable(f"{event.name}: {event.message}")))
                    # It may be of any length.
                    end = "\n".join(printable(grown).splitlines()[-_SHOWN_LINES:])
                    live.update(Group(line, Text(end, style="dim")) if grown else line)
