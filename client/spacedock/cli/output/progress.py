"""What people see while they wait: where the job stands, and its answer's text as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from spacedock.cli.output.text import printable
from spacedock.client import Client

_SHOWN_LINES = 12


@asynccontextmanager
async def progress_shown(client: Client, job_id: str) -> AsyncIterator[None]:
    """Show a job's progress on the terminal (if there is one) while the block runs, then take it away."""
    showing = asyncio.create_task(_show(client, job_id))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _show(client: Client, job_id: str) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        return
    line = Spinner("dots", Text("waiting for a worker"))
    with Live(line, console=console, transient=True, refresh_per_second=10) as live:
        grown = ""
        async for event in client.watch(job_id):
            grown = event.partial or grown
            line.update(text=Text(printable(f"{event.name}: {event.message}")))
            live.update(Group(line, Text(_tail(grown), style="dim")) if grown else line)


def _tail(text: str) -> str:
    """The last lines of a text that may be of any length."""
    return "\n".join(printable(text).splitlines()[-_SHOWN_LINES:])
