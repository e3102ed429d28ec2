"""The wish to stop, as the daemon and its worker hear it: once in good order, again at once."""

from __future__ import annotations

import asyncio
import signal

DRAIN, AT_ONCE = signal.SIGTERM, signal.SIGINT
"""What a worker is sent to let its jobs end first, and what to give them back at once."""


class Stop(asyncio.Event):
    """Is set to stop a process; its `hurry` is set too where what runs must not be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.hurry = asyncio.Event()

    def ask(self) -> None:
        """Stop; in a hurry where that was asked before."""
        if self.is_set():
            self.hurry.set()
        self.set()

    def at_once(self) -> None:
        """Stop in a hurry: whoever started the process is gone, or says so."""
        self.hurry.set()
        self.set()
