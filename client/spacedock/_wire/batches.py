"""Batches on the server: what each is, how its jobs stand, and which they are (docs/decisions/0032).

The scripts that move jobs count them in the same step, so that the counters are exact whatever dies.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from spacedock._wire import keys, lanes
from spacedock._wire.connection import answer
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.events import BatchStatus
from spacedock.states import JobState

LEAST_CHARS = 4
"""So much of a batch's id has to be given."""

BATCH_LUA = f"""
-- The batch of a lane, as far as it is counted.
local function batch_of(lane)
  local id = string.match(lane or '', '^%a+:batch:(.+)$')
  if id and redis.call('TYPE', '{keys.BATCH}' .. id).ok == 'hash' then return id end
end
-- What somebody else has put in a counter's place must not stop a job's way.
local function add(batch, field, n)
  local now = redis.pcall('HINCRBY', '{keys.BATCH}' .. batch, field, n)
  return type(now) == 'number' and now or 0
end
local function moved(lane, from, to, n)
  local batch = n > 0 and batch_of(lane)
  if not batch then return end
  add(batch, from, -n)
  add(batch, to, n)
end
-- A batch is kept as long as the last of its jobs.
local function counted_out(lane, from, to, degraded, keep)
  local batch = batch_of(lane)
  if not batch then return end
  local key, left = '{keys.BATCH}' .. batch, add(batch, from, -1)
  add(batch, to, 1)
  if degraded then add(batch, 'degraded', 1) end
  local most = math.max(tonumber(keep), finite(redis.call('HGET', key, 'keep')) or 0)
  redis.call('HSET', key, 'keep', most)
  if left + add(batch, from == 'queued' and 'running' or 'queued', 0) <= 0 then
    redis.call('EXPIRE', key, most)
    redis.call('EXPIRE', '{keys.BATCH_JOBS}' .. batch, most)
  end
end
"""
"""Lua: `moved` counts jobs of a lane in their new state, `counted_out` one that ended. Needs LANES_LUA."""

BATCH_NEEDS = (
    f"'TYPE', '{keys.BATCH}0'",
    f"'HGET', '{keys.BATCH}0', 'keep'",
    f"'HSET', '{keys.BATCH}0', 'keep', 1",
    f"'HINCRBY', '{keys.BATCH}0', 'queued', 0",
    f"'EXPIRE', '{keys.BATCH}0', 1",
    f"'EXPIRE', '{keys.BATCH_JOBS}0', 1",
)
"""What these call."""

JOIN_LUA = f"""
-- These jobs are new in the batch. Those at the head of its list that are kept no longer leave it.
local function join(batch, ids, submitted, client, label)
  local key, list = '{keys.BATCH}' .. batch, '{keys.BATCH_JOBS}' .. batch
  local kind, listed = redis.call('TYPE', key).ok, redis.call('TYPE', list).ok
  if kind ~= 'hash' then
    redis.call('DEL', key, list)
    redis.call('HSET', key, 'submitted', submitted, 'client', client, 'priority', ids.priority)
  elseif listed ~= 'list' then redis.call('DEL', list) end
  if label ~= '' then redis.call('HSET', key, 'label', label) end
  for _ = 1, 2 * #ids do
    local first = redis.call('LINDEX', list, 0)
    if not first or redis.call('EXISTS', '{keys.JOB}' .. first) == 1 then break end
    redis.call('LPOP', list)
  end
  add(batch, 'queued', #ids)
  redis.call('RPUSH', list, unpack(ids))
  redis.call('PERSIST', key)
  redis.call('PERSIST', list)
end
"""
"""Lua: `join` counts jobs that were just submitted. Needs BATCH_LUA."""

JOIN_NEEDS = (
    *BATCH_NEEDS,
    f"'TYPE', '{keys.BATCH_JOBS}0'",
    f"'DEL', '{keys.BATCH}0', '{keys.BATCH_JOBS}0'",
    f"'LINDEX', '{keys.BATCH_JOBS}0', 0",
    f"'LPOP', '{keys.BATCH_JOBS}0'",
    f"'RPUSH', '{keys.BATCH_JOBS}0', '0'",
    f"'PERSIST', '{keys.BATCH}0'",
    f"'PERSIST', '{keys.BATCH_JOBS}0'",
)
"""What it calls."""

_GLOB = re.compile(r"[\\*?\[\]]")
_PAGE = 1000


async def find(redis: Redis, name: str) -> BatchStatus:
    """The batch of that id, or whose id begins so. Raises JobNotFoundError, BadRequestError."""
    if (found := await _read(redis, lanes.written(name))) is not None:
        return found
    if len(name) < LEAST_CHARS:
        raise JobNotFoundError(name)
    ids = sorted([batch_id async for batch_id in _ids(redis, lanes.written(name))])
    if len(ids) > 1:
        some = ", ".join(ids[:5])
        raise BadRequestError(f"'{name}' is the beginning of {len(ids)} batches ({some}): give more of it")
    if not ids or (found := await _read(redis, ids[0])) is None:
        raise JobNotFoundError(name)
    return found


async def newest(redis: Redis, limit: int) -> list[BatchStatus]:
    """The batches that are kept, the newest first, at most `limit`."""
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
    """The batch of that id; None where there is none, or somebody else's rubbish in its place."""
    if await redis.type(keys.BATCH + batch_id) != b"hash":
        return None
    row = await answer(redis.hgetall(keys.BATCH + batch_id))
    text = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in row.items()}
    return BatchStatus(
        id=batch_id,
        label=text.get("label", ""),
        client=text.get("client", ""),
        priority=text.get("priority", ""),
        submitted=_number(text.get("submitted")),
        degraded=int(_number(text.get("degraded"))),
        counts={state: int(_number(text.get(state))) for state in JobState},
    )


def _number(text: str | None) -> float:
    """A number of Redis's; 0 where somebody else's rubbish stands in its place."""
    try:
        number = float(text or 0)
    except ValueError:
        return 0.0
    return number if 0 <= number < 1e12 else 0.0
