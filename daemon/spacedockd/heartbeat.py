"""Whether the worker's event loop still answers, by what it says once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence after which a loop is in doubt, and after which it is taken to be held for ever.

    Whoever is in doubt has to be told before the leases of the worker's jobs run out (6 s at the least).
    """

    doubt: float = 4.0
    frozen: float = 15.0


PATIENCE = Patience()


async def until_frozen(
    beats: asyncio.StreamReader,
    doubt: Callable[[], Awaitable[None]],
    relief: Callable[[], Awaitable[None]],
    patience: Patience = PATIENCE,
) -> bool:
    """Read what the worker says until it says nothing for too long (True), or has ended (False).

    `doubt` is called when it has been silent for a while, `relief` when it is heard again after that.
    """
    while True:
        heard = await _heard(beats, patience.doubt)
        if heard is None:
            await doubt()
            heard = await _heard(beats, patience.frozen - patience.doubt)
            if heard is None:
                return True
            await relief()
        if not heard:
            return False


async def _heard(beats: asyncio.StreamReader, seconds: float) -> bytes | None:
    """What it says next, nothing where it has ended; None where it says nothing for so long."""
    try:
        async with asyncio.timeout(seconds):
            return await beats.read(_BYTES)
    except TimeoutError:
        return None
