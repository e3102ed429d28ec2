-- include lanes
-- `moved` counts jobs of a lane in their new state, `counted_out` one that ended.
need('TYPE', BATCH .. '0')
need('HGET', BATCH .. '0', 'keep')
need('HSET', BATCH .. '0', 'keep', 1)
need('HINCRBY', BATCH .. '0', 'queued', 0)
need('EXPIRE', BATCH .. '0', 1)
need('EXPIRE', BATCH_JOBS .. '0', 1)
-- The batch of a lane, as far as it is counted.
local function batch_of(lane)
  local id = string.match(lane or '', '^%a+:batch:(.+)$')
  if id and redis.call('TYPE', BATCH .. id).ok == 'hash' then return id end
end
-- What somebody else has put in a counter's place must not stop a job's way.
local function add(batch, field, n)
  local now = redis.pcall('HINCRBY', BATCH .. batch, field, n)
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
  local key, left = BATCH .. batch, add(batch, from, -1)
  add(batch, to, 1)
  if degraded then add(batch, 'degraded', 1) end
  local kept = math.min(finite(redis.call('HGET', key, 'keep')) or 0, MAX_KEEP_S)
  local most = math.max(tonumber(keep), math.floor(kept))
  redis.call('HSET', key, 'keep', most)
  if left + add(batch, from == 'queued' and 'running' or 'queued', 0) <= 0 then
    redis.call('EXPIRE', key, most)
    redis.call('EXPIRE', BATCH_JOBS .. batch, most)
  end
end
