"""How commands ask: with a client for the one call; and what is asked before a job is handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import TypeVar

from spacedock.cli.output.text import say
from spacedock.client import Client
from spacedock.errors import NoWorkerError, RefusedError, SpaceNotFoundError
from spacedock.prepare import is_directory

T = TypeVar("T")

_STARTING_SECONDS, _LOOK_SECONDS = 15.0, 0.2
"""How long a worker may take that a daemon has just started, and how often it is looked for."""


def asked(url: str | None, what: Callable[[Client], Awaitable[T]]) -> T:
    """The answer to what is asked of the queue at `url`, with a client that lives as long as that takes."""

    async def ask() -> T:
        async with Client(url) as client:
            return await what(client)

    return asyncio.run(ask())


async def check(client: Client, names: set[str], *, wait: bool = True) -> None:
    """Raise SpaceNotFoundError for a name that the registry lacks; say so where no worker is there to ask.

    Hub ids and directories are not in need of a registry. With `wait`, results are waited for: a worker that
    is only starting is waited for too, and RefusedError raised where this user of Redis may not read them.
    """
    say_directories(names)
    if wait:
        await client.check_may_wait()
    if not await client.workers() and not (wait and await _started(client)):
        say("no worker is running: the job waits until one is. Start it with `spacedockd`.")
        return
    for name in sorted(names):
        if "/" in name or is_directory(name):
            continue
        try:
            await client.spaces.show(name)
        except SpaceNotFoundError:
            if await _served_elsewhere(client, name):
                continue
            _say_directory(name, f"'{name}' is taken for a name of the registry")
            raise
        except (NoWorkerError, RefusedError):
            # Whoever may submit need not have the right to ask: then the job itself says what is wrong.
            return


async def _served_elsewhere(client: Client, name: str) -> bool:
    """Whether another host has the Space; said where that host is gone, as the job waits for it then."""
    found = await client.serving(name)
    if found and not any(host.alive for host in found):
        ids = ", ".join(host.name or host.id[:12] for host in found)
        say(f"'{name}' is on a host that is gone now ({ids}): the job waits until it is back")
    return bool(found)


def say_directories(names: Iterable[str]) -> None:
    """Say of Hub ids that are directories here too how to name these."""
    for name in sorted(names):
        if "/" in name and not is_directory(name):
            _say_directory(name, f"'{name}' is taken for a Space of the Hub")


def _say_directory(name: str, instead: str) -> None:
    if Path(name).is_dir():
        say(f"{instead}: for the directory of that name write --space ./{name}")


async def _started(client: Client) -> bool:
    """Whether a worker comes up in the time that a daemon's start takes."""
    say(f"no worker is running yet: waiting {_STARTING_SECONDS:.0f} s for one, in case a daemon is starting")
    end = monotonic() + _STARTING_SECONDS
    while monotonic() < end:
        # Redis sends no notification when a worker's key appears, so look again.
        await asyncio.sleep(_LOOK_SECONDS)
        if await client.workers():
            return True
    return False
