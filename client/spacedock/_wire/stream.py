"""The stream of all events: how scripts write to it, and how readers follow it (docs/decisions/0032).

Events are numbered one by one, by whichever script writes them, so a reader knows how many it has missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import OUTAGES, answer
from spacedock.errors import WireError
from spacedock.events import Event

KEPT = 10_000
"""About so many events are kept: some megabytes, as each has a thousand characters of an answer at most."""


_QUIET_MS = 5_000
_PAUSE_SECONDS = 0.5
_PAGE = 500


Over = Callable[[], Awaitable[bool]]
"""Whether nothing more will come of what is followed."""


async def follow(redis: Redis, after: int | None, over: Over | None = None) -> AsyncGenerator[Event]:
    """Yield the events with higher numbers than `after` as they come (None: from now on) until it is `over`.

    Events that are no longer kept are told by one event that says how many they are. Survives outages of
    Redis. Raises redis-py's errors of other kinds.
    """
    last, at = await newest(redis) if after is None else after, 0.0
    quiet = ended = False
    while True:
        try:
            rows = await _read(redis, last, _QUIET_MS if quiet and not ended else None)
            if await _begun_again(redis, last, at, past=bool(rows)):
                last = await before(redis, at)
                rows = await _read(redis, last, None)
            if quiet := not rows:
                if ended:
                    return
                # Looked for before the last reading: what ends something tells of it in the same step.
                ended = over is not None and await over()
        except OUTAGES:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        for number, fields in rows:
            if number > last + 1:
                yield _missed(last, number)
            last = number
            if (event := _event(number, fields)) is not None:
                at = event.at
                yield event


async def _begun_again(redis: Redis, last: int, at: float, *, past: bool) -> bool:
    """Whether numbers went back behind `last`, the number of an event of the time `at` (0: unknown).

    Redis was emptied, the last events were too old, or a failover lost some. With `past` there are higher
    numbers by now; then another event has the number.
    """
    if not past:
        return 0 < await newest(redis) < last
    rows = await answer(redis.xrange(keys.EVENTS, min=f"0-{last}", max=f"0-{last}")) if at else ()
    event = _event(last, rows[0][1]) if rows else None
    return event is not None and event.at != at


async def before(redis: Redis, seconds: float) -> int:
    """The number after which to read for all events since that time of Redis's clock."""
    low = first = await _oldest(redis)
    high = await newest(redis) + 1
    middle = high - 1
    while low < high:
        rows = await answer(redis.xrange(keys.EVENTS, min=f"0-{middle}", count=1))
        event = _event(middle, rows[0][1]) if rows else None
        low, high = (middle + 1, high) if event is not None and event.at < seconds else (low, middle)
        middle = (low + high) // 2
    # Where all that are kept came later, some may be missed.
    return low - 1 if low > first else 0


async def past(redis: Redis, last: int) -> list[Event]:
    """The next events after that number, some hundred at most; none if no newer event is there."""
    rows = await _read(redis, last, None)
    told = [(number, _event(number, fields)) for number, fields in rows]
    # One that cannot be read counts as told, or whoever goes on after the last one would stay before it.
    return [event or Event(job_id="", id=number) for number, event in told]


async def newest(redis: Redis) -> int:
    """The number of the last event, or 0 if the stream is empty."""
    rows = await answer(redis.xrevrange(keys.EVENTS, count=1))
    return _number(rows[0][0]) if rows else 0


async def _oldest(redis: Redis) -> int:
    """The number of the first event that is kept."""
    rows = await answer(redis.xrange(keys.EVENTS, count=1))
    return _number(rows[0][0]) if rows else 1


async def _read(redis: Redis, last: int, block: int | None) -> list[tuple[int, dict[bytes, bytes]]]:
    found = await answer(redis.xread({keys.EVENTS: f"0-{last}"}, count=_PAGE, block=block))
    rows = [(_number(entry), fields) for _, entries in found or () for entry, fields in entries]
    ours = [(number, fields) for number, fields in rows if number > last]
    if rows and not ours:
        # Somebody else's rubbish goes with the next event that a worker tells.
        await asyncio.sleep(_PAUSE_SECONDS)
    return ours


def _number(entry: bytes) -> int:
    """The number of an entry; 0 where it is somebody else's."""
    thousand, _, number = entry.partition(b"-")
    return int(number) if thousand == b"0" else 0


def _missed(last: int, number: int) -> Event:
    count = number - last - 1
    message = f"{count:,} events before this one are no longer kept"
    return Event(job_id="", id=number - 1, missed=count, message=message)


def _event(number: int, fields: dict[bytes, bytes]) -> Event | None:
    """The event of an entry; None where it is somebody else's rubbish."""
    try:
        event = wire.decode_bounded(Event, fields[b"event"], wire.MAX_EVENT_BYTES)
        at = float(fields[b"at"])
    except (WireError, KeyError, ValueError):
        return None
    batch = fields.get(b"batch", b"").decode(errors="replace") or None
    labels = wire.labels_in(fields.get(b"labels"))
    return event.model_copy(update={"id": number, "at": at, "batch": batch, "labels": labels, "missed": 0})
