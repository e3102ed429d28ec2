-- `join` counts jobs that were just submitted.
-- include batches
need('TYPE', BATCH_JOBS .. '0')
need('DEL', BATCH .. '0', BATCH_JOBS .. '0')
need('LINDEX', BATCH_JOBS .. '0', 0)
need('LPOP', BATCH_JOBS .. '0')
need('RPUSH', BATCH_JOBS .. '0', '0')
need('PERSIST', BATCH .. '0')
need('PERSIST', BATCH_JOBS .. '0')
-- These jobs are new in the batch. Those at the head of its list that are kept no longer leave it.
local function join(batch, ids, submitted, client, label)
  local key, list = BATCH .. batch, BATCH_JOBS .. batch
  local kind, listed = redis.call('TYPE', key).ok, redis.call('TYPE', list).ok
  if kind ~= 'hash' then
    redis.call('DEL', key, list)
    redis.call('HSET', key, 'submitted', submitted, 'client', client, 'priority', ids.priority)
  elseif listed ~= 'list' then redis.call('DEL', list) end
  if label ~= '' then redis.call('HSET', key, 'label', label) end
  for _ = 1, 2 * #ids do
    local first = redis.call('LINDEX', list, 0)
    if not first or redis.call('EXISTS', JOB .. first) == 1 then break end
    redis.call('LPOP', list)
  end
  add(batch, 'queued', #ids)
  redis.call('RPUSH', list, unpack(ids))
  redis.call('PERSIST', key)
  redis.call('PERSIST', list)
end
