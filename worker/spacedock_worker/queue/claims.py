"""Claiming jobs: what a worker takes, and what becomes of those that another worker has lost."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from spacedock import keys, wire
from spacedock.scripts import atomic
from spacedock_worker.queue.blame import LOST_LUA, MAX_TRIES, SUSPECT_LUA, SUSPECT_NEEDS

_MOST_DEFINITION_BYTES = 4096
"""Of arq's definition of a job: ours has 60."""

CLAIM = atomic(
    SUSPECT_LUA
    + LOST_LUA
    + f"""
local now = redis.call('TIME')
-- Jobs of one submission are a microsecond apart, so that the last may seem to come from the future.
local due = now[1] * 1000 + now[2] / 1000 + 1
local seconds = now[1] .. '.' .. string.format('%06d', now[2])
local claimed, page, free, me, suspects = {{}}, 100, tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[5])
local function waiting(id)
  local job = '{keys.JOB}' .. id
  if #id > 200 or not string.find(id, '^[%w_-]+$') or redis.call('TYPE', job).ok ~= 'hash' then return nil end
  local row = redis.call(
    'HMGET', job, 'state', 'submitted', 'cancel', 'state', 'waits', 'worker', 'deaths', 'losses')
  if row[4] == 'queued' or row[4] == 'running' then return row end
end
-- 1 where it is larger than any that a client sends: nobody shall have to read it.
local function request(id)
  local job = '{keys.JOB}' .. id
  if redis.call('HSTRLEN', job, 'request') > {wire.MAX_REQUEST_BYTES} then return 1 end
  return redis.call('HGET', job, 'request')
end
local function drop_rubbish(id)
  local size = redis.pcall('STRLEN', '{keys.ARQ_JOB}' .. id)
  if type(size) == 'table' or size > {_MOST_DEFINITION_BYTES} then
    redis.call('DEL', '{keys.ARQ_JOB}' .. id)
  end
end
local function settle(id, row)
  local tries = '{keys.arq_retry("")}' .. id
  if row[4] == 'running' and row[6] and row[6] ~= me then
    -- arq counts a job when it begins to run it: one that was only claimed did nothing.
    local began = said(tries)
    local rest = lost(id, row[6], began, row)
    if rest > 0 then redis.call('ZADD', KEYS[1], 'XX', due + rest, id) end
    row[7], row[8] = unpack(redis.call('HMGET', '{keys.JOB}' .. id, 'deaths', 'losses'))
    redis.call('DEL', tries)
    return rest == 0
  end
  return true
end
local function may_run(id, row)
  local deadly, unlucky = suspected(row[7], row[8])
  row.suspect = (deadly or unlucky) and count(row[7]) < {MAX_TRIES}
  if not row.suspect then return true end
  if suspects > 0 then return false end
  suspects = 1
  if unlucky then accuse(me, id) end
  return true
end
for offset = 0, ARGV[1] - 1, page do
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', due, 'LIMIT', offset, page)
  for _, id in ipairs(ids) do
    if redis.call('SET', '{keys.IN_PROGRESS}' .. id, me, 'NX', 'PX', ARGV[4]) then
      local row = waiting(id)
      if not row then
        redis.call('ZREM', KEYS[1], id)
        redis.call('DEL', '{keys.IN_PROGRESS}' .. id, '{keys.ARQ_JOB}' .. id, '{keys.arq_retry("")}' .. id)
      elseif row[6] == me or settle(id, row) and may_run(id, row) then
        redis.call('HSET', '{keys.JOB}' .. id, 'state', 'running', 'worker', me)
        drop_rubbish(id)
        local submitted = string.sub(row[2] or '', 1, 40)
        claimed[#claimed + 1] = {{
          id, request(id), submitted, row[3] and 1 or false, count(row[7]), row.suspect or false}}
        if #claimed == free then return {{seconds, claimed}} end
      else
        redis.call('DEL', '{keys.IN_PROGRESS}' .. id)
      end
    elseif redis.call('PTTL', '{keys.IN_PROGRESS}' .. id) == -1 then
      -- No lease of ours: they all end.
      redis.call('DEL', '{keys.IN_PROGRESS}' .. id)
    end
  end
  if #ids < page then break end
end
return {{seconds, claimed}}
""",
    "'ZRANGEBYSCORE', KEYS[1], '-inf', 0, 'LIMIT', 0, 1",
    "'ZREM', KEYS[1], '0'",
    "'ZADD', KEYS[1], 'XX', 0, '0'",
    f"'SET', '{keys.IN_PROGRESS}0', ARGV[3], 'NX', 'PX', ARGV[4]",
    f"'TYPE', '{keys.JOB}0'",
    f"'PTTL', '{keys.IN_PROGRESS}0'",
    f"'STRLEN', '{keys.ARQ_JOB}0'",
    f"'HMGET', '{keys.JOB}0', 'state'",
    f"'HSTRLEN', '{keys.JOB}0', 'request'",
    f"'HGET', '{keys.JOB}0', 'request'",
    f"'HSET', '{keys.JOB}0', 'state', 'running'",
    f"'HDEL', '{keys.JOB}0', 'waits'",
    f"'GET', '{keys.arq_retry('0')}'",
    f"'DEL', '{keys.IN_PROGRESS}0', '{keys.ARQ_JOB}0', '{keys.arq_retry('0')}'",
    *SUSPECT_NEEDS,
    when_full=False,
)
"""Lua: up to ARGV[2] of the ARGV[1] oldest jobs that nobody holds, for the worker ARGV[3]."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is ours to run: its raw request, seconds spent in the queue, and whether to stop at once.

    `request` is None where it is too large to be read. `deaths` counts the workers that died while they
    executed it. A `suspect` is the only one in hand.
    """

    id: str
    request: bytes | None
    queued: float
    cancel_asked: bool
    deaths: int = 0
    suspect: bool = False


def claimed(
    now: bytes,
    job_id: bytes,
    request: bytes | int | None,
    submitted: bytes,
    cancel: int | None,
    deaths: int,
    suspect: int | None,
) -> Claimed:
    """What a row of the script's answer says."""
    waited = _waited(submitted, now)
    readable = None if isinstance(request, int) else request or b""
    return Claimed(job_id.decode(), readable, waited, cancel is not None, deaths, bool(suspect))


def _waited(submitted: bytes, now: bytes) -> float:
    """Seconds in the queue; none where somebody else's rubbish stands for the time of submission."""
    try:
        waited = float(now) - float(submitted or now)
    except ValueError:
        return 0.0
    return max(0.0, waited) if isfinite(waited) else 0.0
