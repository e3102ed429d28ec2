"""A worker's loop that is silent is doubted, then taken for frozen; one that is heard again is not."""

from __future__ import annotations

import asyncio

from spacedock_worker.witness import Condition
from spacedockd.pulse import Patience, Pulse, until_frozen

SHORT = Patience(doubt=0.05, frozen=0.1)


class Told:
    """What the daemon was told, and what it does to the pipe then."""

    def __init__(self, beats: asyncio.StreamReader, *, revives: bool = False) -> None:
        self._beats, self._revives = beats, revives
        self.said: list[str] = []

    async def doubt(self) -> None:
        self.said.append("doubt")
        if self._revives:
            self._beats.feed_data(b"ready\n")

    async def relief(self) -> None:
        self.said.append("relief")
        self._beats.feed_eof()


async def heard(beats: asyncio.StreamReader, told: Told) -> bool:
    async with asyncio.timeout(60):
        return await until_frozen(beats, told.doubt, told.relief, Pulse(SHORT))


async def test_a_loop_that_stays_silent_is_frozen() -> None:
    beats = asyncio.StreamReader()
    told = Told(beats)
    assert await heard(beats, told)
    assert told.said == ["doubt"]


async def test_a_loop_that_is_heard_again_is_not() -> None:
    beats = asyncio.StreamReader()
    told = Told(beats, revives=True)
    assert not await heard(beats, told)
    assert told.said == ["doubt", "relief"]


async def test_a_worker_that_has_ended_is_not_frozen() -> None:
    beats = asyncio.StreamReader()
    beats.feed_data(b"ready\n")
    beats.feed_eof()
    told = Told(beats)
    assert not await heard(beats, told)
    assert told.said == []


def test_a_pulse_tells_for_how_long_nothing_was_heard() -> None:
    now = [100.0]
    pulse = Pulse(clock=lambda: now[0])
    assert pulse.trouble == "no worker runs: the daemon starts one"
    pulse.hear(Condition(engine="it hangs").as_line() * 2)
    assert (pulse.trouble, pulse.condition.engine) == (None, "it hangs")
    now[0] += 9
    assert pulse.trouble == "the worker has been silent for 9 s"
    pulse.hear(b'{"engine": nul')
    assert (pulse.trouble, pulse.condition.engine) == (None, "it hangs")
    pulse.ended()
    assert pulse.trouble is not None
