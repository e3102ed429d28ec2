"""Batches on the server: what each is, how its jobs stand, and which they are (docs/decisions/0032).

The scripts that move jobs count them in the same step, so that the counters are exact whatever dies.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from spacedock._wire import keys, lanes
from spacedock._wire.connection import answer
from spacedock._wire.wire import number_in
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.events import BatchStatus
from spacedock.states import JobState

LEAST_CHARS = 4
"""So much of a batch's id has to be given."""


_GLOB = re.compile(r"[\\*?\[\]]")
_PAGE = 1000


async def find(redis: Redis, name: str) -> BatchStatus:
    """How the jobs of a batch stand, by its id or the beginning of it.

    Raises JobNotFoundError, and BadRequestError for the beginning of several ids.
    """
    if (found := await _read(redis, lanes.written(name))) is not None:
        return found
    if len(name) < LEAST_CHARS:
        raise JobNotFoundError(name, "job or batch")
    ids = sorted([batch_id async for batch_id in _ids(redis, lanes.written(name))])
    if len(ids) > 1:
        some = ", ".join(ids[:5])
        raise BadRequestError(f"'{name}' is the beginning of {len(ids)} batches ({some}): give more of it")
    if not ids or (found := await _read(redis, ids[0])) is None:
        raise JobNotFoundError(name, "job or batch")
    return found


async def newest(redis: Redis, *, limit: int = 100) -> list[BatchStatus]:
    """The newest batches, at most `limit`; each is kept as long as its jobs."""
    found = [await _read(redis, batch_id) async for batch_id in _ids(redis)]
    known = [one for one in found if one is not None]
    return sorted(known, key=lambda one: (one.submitted, one.id), reverse=True)[:limit]


async def job_ids(redis: Redis, batch_id: str) -> list[str]:
    """The ids of a batch's jobs in the order of their submission; some may be kept no longer."""
    found = await answer(redis.lrange(keys.BATCH_JOBS + batch_id, 0, -1))
    return [job_id.decode(errors="replace") for job_id in found]


async def _ids(redis: Redis, beginning: str = "") -> AsyncIterator[str]:
    pattern = keys.BATCH + _GLOB.sub("?", beginning) + "*"
    async for key in redis.scan_iter(match=pattern, count=_PAGE, _type="hash"):
        yield key.decode(errors="replace").removeprefix(keys.BATCH)


async def _read(redis: Redis, batch_id: str) -> BatchStatus | None:
    """The batch of that id; None if it does not exist or its record cannot be read."""
    if await redis.type(keys.BATCH + batch_id) != b"hash":
        return None
    row = await answer(redis.hgetall(keys.BATCH + batch_id))
    text = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in row.items()}
    return BatchStatus(
        id=batch_id,
        label=text.get("label", ""),
        client=text.get("client", ""),
        priority=text.get("priority", ""),
        submitted=number_in(text.get("submitted")),
        degraded=int(number_in(text.get("degraded"))),
        counts={state: int(number_in(text.get(state))) for state in JobState},
    )
