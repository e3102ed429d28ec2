"""The worker's signs of life: whether its loop answers, and what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NoReturn

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock._wire.connection import connect, redacted
from spacedock_worker.witness import Condition
from spacedockd.notify import Notifier

_BYTES = 2**16
_QUEUE_SECONDS = 2.0
_REPORT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence after which a loop is in doubt, and after which it is taken to be held for ever.

    Whoever is in doubt has to be told before the leases of the worker's jobs run out (6 s at the least).
    """

    doubt: float = 4.0
    frozen: float = 15.0


PATIENCE = Patience()


class Pulse:
    """What was last heard of the worker. `clock` gives monotonic seconds."""

    def __init__(self, patience: Patience = PATIENCE, clock: Callable[[], float] = monotonic) -> None:
        self.patience, self._clock = patience, clock
        self._heard_at: float | None = None
        self.condition = Condition()

    def hear(self, said: bytes) -> None:
        """Note a sign of life; the last whole line of it says how the worker stands."""
        self._heard_at = self._clock()
        for line in said.splitlines()[-1:]:
            try:
                self.condition = Condition.model_validate_json(line)
            except ValidationError:
                # Half a line: the next one comes within a second.
                continue

    def ended(self) -> None:
        """The worker is gone."""
        self._heard_at = None

    @property
    def trouble(self) -> str | None:
        """Why the worker's loop does not answer; None where it does."""
        if self._heard_at is None:
            return "no worker runs: the daemon starts one"
        silent = self._clock() - self._heard_at
        return f"the worker has been silent for {silent:.0f} s" if silent > self.patience.doubt else None


@dataclass(frozen=True, slots=True)
class Watched:
    """The worker that the daemon keeps up: its `pulse`, and the socket on which it tells its `metrics`."""

    pulse: Pulse
    metrics: Path


Readiness = dict[str, str | None]
"""What jobs need, and what is wrong with each: None where nothing is."""


async def readiness(pulse: Pulse, redis: Redis) -> Readiness:
    """How worker, queue, engine and registry stand now, within 2 s; never raises."""
    queue = None
    try:
        async with asyncio.timeout(_QUEUE_SECONDS):
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        queue = f"the queue does not answer ({type(error).__name__})"
    condition = pulse.condition
    return {
        "worker": pulse.trouble,
        "queue": queue,
        "engine": condition.engine,
        "registry": condition.registry,
    }


async def report(pulse: Pulse, url: str, notify: Notifier) -> NoReturn:
    """Have the service manager's status say the same as `/readyz`, until cancelled."""
    said = serving = f"serving {redacted(url)}"
    async with connect(url) as redis:
        while True:
            wrong = [why for why in (await readiness(pulse, redis)).values() if why]
            now = "; ".join([serving, *wrong])
            if now != said:
                notify.status(now)
            said = now
            await asyncio.sleep(_REPORT_SECONDS)


async def until_frozen(
    beats: asyncio.StreamReader,
    doubt: Callable[[], Awaitable[None]],
    relief: Callable[[], Awaitable[None]],
    pulse: Pulse,
) -> bool:
    """Read what the worker says until it says nothing for too long (True), or has ended (False).

    `doubt` is called when it has been silent for a while, `relief` when it is heard again after that.
    """
    while True:
        heard = await _heard(beats, pulse.patience.doubt)
        if heard is None:
            await doubt()
            heard = await _heard(beats, pulse.patience.frozen - pulse.patience.doubt)
            if heard is None:
                return True
            await relief()
        if not heard:
            return False
        pulse.hear(heard)


async def _heard(beats: asyncio.StreamReader, seconds: float) -> bytes | None:
    """What it says next, nothing where it has ended; None where it says nothing for so long."""
    try:
        async with asyncio.timeout(seconds):
            return await beats.read(_BYTES)
    except TimeoutError:
        return None
