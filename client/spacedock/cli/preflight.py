"""What is asked before a job is handed over: is there a worker, and does it know the Space?"""

from __future__ import annotations

from spacedock.cli.output.text import say
from spacedock.client import Client, is_directory
from spacedock.errors import NoWorkerError, RefusedError


async def check(client: Client, names: set[str], *, wait: bool = True) -> None:
    """Raise SpaceNotFoundError for a name that the registry lacks; say so where no worker is there to ask.

    Hub ids and directories are not in need of a registry. Raises RefusedError where results are to be waited
    for, and this user of Redis may not read them.
    """
    if wait:
        await client.check_may_wait()
    if not await client.workers():
        say("no worker is running: the job waits until one is. Start it with `spacedockd`.")
        return
    for name in sorted(names):
        if "/" in name or is_directory(name):
            continue
        try:
            await client.spaces.show(name)
        except (NoWorkerError, RefusedError):
            # Whoever may submit need not have the right to ask: then the job itself says what is wrong.
            return
