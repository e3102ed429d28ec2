"""The Lua of taking jobs: what a worker takes, what waits then, and what others have lost."""

from __future__ import annotations

from spacedock._wire import keys, wire
from spacedock._wire.batches import BATCH_LUA, BATCH_NEEDS
from spacedock._wire.lanes import LANES_LUA, LANES_NEEDS, NAME_BYTES
from spacedock._wire.scripts import atomic
from spacedock_worker.queue.blame import LOST_LUA, MAX_TRIES, SUSPECT_LUA, SUSPECT_NEEDS

LANES_SEEN, TARGETS_SEEN = 64, 32
"""How many lanes are told, those that had least first; and how many targets of each."""

LANES_LOOKED, TARGETS_LOOKED, MOST_LOOKS = 2048, 512, 4096
"""How many are looked at for that: some rest, or are for other hosts only."""

_LAPSED_SEEN = 100
_PASSED_OVER = 20
_FAR_MS = 60_000
_MOST_DEFINITION_BYTES = 4096
"""Of arq's definition of a job: ours has 60."""

_TRIES_SECONDS = 88_400
"""How long arq counts the tries of a job."""

_RECORD_LUA = f"""
local now = redis.call('TIME')
-- Jobs of one submission are a microsecond apart, so that the last may seem to come from the future.
local due = now[1] * 1000 + now[2] / 1000 + 1
-- A rest and a lease are far shorter than this: what seems to be due later was written by another clock.
local far = due + {_FAR_MS}
local seconds = now[1] .. '.' .. string.format('%06d', now[2])
-- The record of a job that has not ended; nil where there is none, or something else in its place.
local function unfinished(id)
  local job = '{keys.JOB}' .. id
  if #id > 200 or not string.find(id, '^[%w_-]+$') or redis.call('TYPE', job).ok ~= 'hash' then return nil end
  local row = redis.call('HMGET', job,
    'state', 'submitted', 'cancel', 'state', 'waits', 'worker', 'deaths', 'losses', 'lane', 'target')
  if row[4] == 'queued' or row[4] == 'running' then return row end
end
local function forget(id)
  redis.call('ZREM', '{keys.QUEUE}', id)
  redis.call('ZREM', sorted('{keys.HELD}'), id)
  redis.call('DEL', '{keys.IN_PROGRESS}' .. id, '{keys.ARQ_JOB}' .. id, '{keys.arq_retry("")}' .. id)
end
"""

_RECORD_NEEDS = (
    f"'ZREM', '{keys.QUEUE}', '0'",
    f"'ZREM', '{keys.HELD}', '0'",
    f"'TYPE', '{keys.JOB}0'",
    f"'HMGET', '{keys.JOB}0', 'state'",
    f"'DEL', '{keys.IN_PROGRESS}0', '{keys.ARQ_JOB}0', '{keys.arq_retry('0')}'",
    *LANES_NEEDS,
)

TAKE = atomic(
    SUSPECT_LUA
    + LANES_LUA
    + BATCH_LUA
    + _RECORD_LUA
    + LOST_LUA
    + f"""
local me, suspects = ARGV[1], tonumber(ARGV[4])
local claimed, lanes, held = {{}}, {{}}, sorted('{keys.HELD}')
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
-- As arq counts a job that it begins to run, whose definition it reads in the same step.
local function begun(id)
  local tries = '{keys.arq_retry("")}' .. id
  if type(redis.pcall('INCR', tries)) == 'table' then redis.call('SET', tries, '1') end
  redis.call('EXPIRE', tries, {_TRIES_SECONDS})
  return said('{keys.ARQ_JOB}' .. id) or false
end
local function is_suspect(row)
  local deadly, unlucky = suspected(row[7], row[8])
  return (deadly or unlucky) and count(row[7]) < {MAX_TRIES}, unlucky
end
local function may_run(id, row)
  local suspect, unlucky = is_suspect(row)
  if not suspect then return true end
  if suspects > 0 then return false end
  suspects = 1
  if unlucky then accuse(me, id) end
  return true
end
local function hold(id, row)
  redis.call('SET', '{keys.IN_PROGRESS}' .. id, me, 'PX', ARGV[2])
  redis.call('ZADD', held, due + ARGV[2], id)
  drop_rubbish(id)
  local submitted, suspect = string.sub(row[2] or '', 1, 40), is_suspect(row)
  local lane, target = lane_of(row[9], row[10])
  claimed[#claimed + 1] = {{
    id, request(id), submitted, row[3] and 1 or false, count(row[7]), suspect, lane, target, begun(id)}}
end
local function take(id, row, charge)
  redis.call('HSET', '{keys.JOB}' .. id, 'state', 'running', 'worker', me, 'waits', '1', 'charged', charge)
  hold(id, row)
end
local function taken_back(id)
  local row = unfinished(id)
  if not row then return forget(id) end
  if row[4] == 'queued' then return redis.call('ZREM', held, id) end
  if row[6] == me then
    -- Redis was away, or the answer to our claim was lost; as nobody else has taken it, it is ours.
    if is_suspect(row) then suspects = 1 end
    return hold(id, row)
  end
  local rest = lost(id, row[6] or '', row)
  local since = redis.call('ZSCORE', '{keys.QUEUE}', id) or due
  if rest > 0 then
    since = due + rest
    redis.call('ZADD', '{keys.QUEUE}', since, id)
  end
  redis.call('DEL', '{keys.IN_PROGRESS}' .. id, '{keys.arq_retry("")}' .. id)
  redis.call('ZREM', held, id)
  local lane, target = lane_of(row[9], row[10])
  local had, charged = stands(lane), finite(redis.call('HGET', '{keys.JOB}' .. id, 'charged'))
  if had and charged then redis.call('ZADD', '{keys.LANES}', had - charged, lane) end
  redis.call('HDEL', '{keys.JOB}' .. id, 'charged')
  moved(lane, 'running', 'queued', 1)
  enqueue(lane, target, id, since)
end
for _, range in ipairs({{{{'-inf', due}}, {{far, '+inf'}}}}) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', held, range[1], range[2], 'LIMIT', 0, {_LAPSED_SEEN})) do
    local left = redis.call('PTTL', '{keys.IN_PROGRESS}' .. id)
    if left > 0 then redis.call('ZADD', held, due + left, id) else taken_back(id) end
  end
end
local skipped, skips = {{}}, tonumber(ARGV[5])
for n = 6, 5 + skips do skipped[ARGV[n]] = true end
for n = 6 + skips, #ARGV, 5 do
  local lane, target, left, charge, lag = unpack(ARGV, n, n + 4)
  left = tonumber(left)
  local waiting, total, before = sorted(waiting_of(lane, target)), 0, #claimed
  local most, first = left + {_PASSED_OVER}, redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
  local till = first and tonumber(first) > far and '+inf' or due
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', till, 'LIMIT', 0, most)) do
    local row = unfinished(id)
    if left == 0 then break
    elseif not row then
      redis.call('ZREM', waiting, id)
      forget(id)
    elseif row[4] == 'running' then
      -- Somebody holds it: it waits nowhere.
      redis.call('ZREM', waiting, id)
      redis.call('ZADD', held, 'NX', due, id)
    elseif may_run(id, row) then
      redis.call('ZREM', waiting, id)
      take(id, row, charge)
      left, total = left - 1, total + charge
    end
  end
  moved(lane, 'queued', 'running', #claimed - before)
  local stood = (stands(lane) or 0) + lag
  if total > 0 and stood > virtual_now() then redis.call('SET', '{keys.VIRTUAL}', tostring(stood)) end
  if total > 0 then redis.call('ZADD', '{keys.LANES}', stood + total, lane) end
  refresh(lane, target)
end
local all, seen, looks = true, redis.call('ZCARD', held), {MOST_LOOKS}
-- The targets of which something can be taken here; those without jobs are taken away.
local function heads_of(lane)
  local found, empty, places = {{}}, {{}}, sorted('{keys.LANE}' .. lane)
  local heads = redis.call('ZRANGE', places, 0, {TARGETS_LOOKED - 1}, 'WITHSCORES')
  looks = looks - 1
  if #heads == {2 * TARGETS_LOOKED} then all = false end
  for k = 1, #heads, 2 do
    if #found == {3 * TARGETS_SEEN} or looks == 0 then all = false break end
    looks = looks - 1
    local target, since = heads[k], tonumber(heads[k + 1])
    local waiting = #target <= {NAME_BYTES} and redis.call('ZCARD', sorted(waiting_of(lane, target))) or 0
    seen = seen + waiting
    if waiting == 0 then empty[#empty + 1] = target
    elseif (since <= due or since > far) and not skipped[target] then
      found[#found + 1], found[#found + 2], found[#found + 3] = target, heads[k + 1], waiting
    end
  end
  if #empty > 0 then redis.call('ZREM', places, unpack(empty)) end
  if redis.call('ZCARD', places) == 0 then redis.call('ZREM', '{keys.LANES}', lane) end
  return found
end
local standing = redis.call('ZRANGE', sorted('{keys.LANES}'), 0, {LANES_LOOKED - 1}, 'WITHSCORES')
if #standing == {2 * LANES_LOOKED} then all = false end
for n = 1, #standing, 2 do
  if #lanes == {LANES_SEEN} or looks == 0 then all = false break end
  local lane, had = standing[n], finite(standing[n + 1]) or virtual_now()
  if #lane > {NAME_BYTES} then redis.call('ZREM', '{keys.LANES}', lane)
  else
    local found = heads_of(lane)
    if #found > 0 then lanes[#lanes + 1] = {{lane, tostring(had), found}} end
  end
end
local paused = redis.call('SISMEMBER', '{keys.PAUSED}', ARGV[3])
-- Where not all was seen there may be strays.
local lacking = not all or redis.call('ZCARD', '{keys.QUEUE}') ~= seen
return {{seconds, claimed, tostring(due), tostring(virtual_now()), lacking and 1 or 0, paused, lanes}}
""",
    f"'ZADD', '{keys.QUEUE}', 0, '0'",
    f"'ZADD', '{keys.HELD}', 0, '0'",
    f"'ZRANGEBYSCORE', '{keys.HELD}', 0, 0",
    f"'ZRANGEBYSCORE', '{keys.WAITING}0', '-inf', 0",
    f"'ZCARD', '{keys.HELD}'",
    f"'ZCARD', '{keys.QUEUE}'",
    f"'ZSCORE', '{keys.QUEUE}', '0'",
    f"'PTTL', '{keys.IN_PROGRESS}0'",
    f"'SET', '{keys.IN_PROGRESS}0', ARGV[1], 'PX', ARGV[2]",
    f"'SET', '{keys.VIRTUAL}', '0'",
    f"'GET', '{keys.ARQ_JOB}0'",
    f"'INCR', '{keys.arq_retry('0')}'",
    f"'SET', '{keys.arq_retry('0')}', '1'",
    f"'EXPIRE', '{keys.arq_retry('0')}', 1",
    f"'SISMEMBER', '{keys.PAUSED}', '0'",
    f"'STRLEN', '{keys.ARQ_JOB}0'",
    f"'HSTRLEN', '{keys.JOB}0', 'request'",
    f"'HGET', '{keys.JOB}0', 'request'",
    f"'HSET', '{keys.JOB}0', 'state', 'queued'",
    f"'HDEL', '{keys.JOB}0', 'waits'",
    *_RECORD_NEEDS,
    *SUSPECT_NEEDS,
    *BATCH_NEEDS,
    when_full=False,
)
"""Lua: let jobs of lost workers wait again, take waiting jobs, and tell the heads of the lanes that are left.

ARGV: the worker, LEASE_MS, the host, suspects in hand; the number of targets that are not told, and they;
then for each pick its lane, target, count, charge, and what the lane is behind those that are served. One
round trip: a worker chooses by what the last one told.
"""

REPAIR = atomic(
    LANES_LUA
    + _RECORD_LUA
    + f"""
local ids = redis.call('ZRANGE', '{keys.QUEUE}', ARGV[1], ARGV[1] + ARGV[2] - 1)
local dropped, mended = 0, 0
for _, id in ipairs(ids) do
  local row = unfinished(id)
  if not row then
    forget(id)
    dropped = dropped + 1
  elseif row[4] == 'running' then
    mended = mended + redis.call('ZADD', sorted('{keys.HELD}'), 'NX', due, id)
  else
    local lane, target = lane_of(row[9], row[10])
    if not redis.call('ZSCORE', sorted(waiting_of(lane, target)), id) then
      enqueue(lane, target, id, redis.call('ZSCORE', '{keys.QUEUE}', id))
      mended = mended + 1
    end
  end
end
return {{#ids, dropped, mended}}
""",
    f"'ZRANGE', '{keys.QUEUE}', 0, 0",
    f"'ZADD', '{keys.HELD}', 'NX', 0, '0'",
    f"'ZSCORE', '{keys.QUEUE}', '0'",
    f"'ZSCORE', '{keys.WAITING}0', '0'",
    *_RECORD_NEEDS,
    when_full=False,
)
"""Lua: see that ARGV[2] jobs of arq's queue, from ARGV[1] on, wait in a lane or are held; drop what is none.

Jobs of an earlier release, and what somebody else wrote into the queue, are in no lane.
"""
