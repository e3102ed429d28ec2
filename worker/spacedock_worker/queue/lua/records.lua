-- include lanes
local FAR_MS = 60000
need('ZREM', QUEUE, '0')
need('ZREM', HELD, '0')
need('TYPE', JOB .. '0')
need('HMGET', JOB .. '0', 'state')
need('DEL', IN_PROGRESS .. '0', ARQ_JOB .. '0', ARQ_RETRY .. '0')
local now = redis.call('TIME')
-- Jobs of one submission are a microsecond apart, so that the last may seem to come from the future.
local due = now[1] * 1000 + now[2] / 1000 + 1
-- A rest and a lease are far shorter than this: what seems to be due later was written by another clock.
local far = due + FAR_MS
local seconds = now[1] .. '.' .. string.format('%06d', now[2])
-- The record of a job that has not ended; nil where there is none, or something else in its place.
local function unfinished(id)
  local job = JOB .. id
  if #id > 200 or not string.find(id, '^[%w_-]+$') or redis.call('TYPE', job).ok ~= 'hash' then return nil end
  local row = redis.call('HMGET', job,
    'state', 'submitted', 'cancel', 'state', 'waits', 'worker', 'deaths', 'losses', 'lane', 'target')
  if row[4] == 'queued' or row[4] == 'running' then return row end
end
local function forget(id)
  redis.call('ZREM', QUEUE, id)
  redis.call('ZREM', sorted(HELD), id)
  redis.call('DEL', IN_PROGRESS .. id, ARQ_JOB .. id, ARQ_RETRY .. id)
end
