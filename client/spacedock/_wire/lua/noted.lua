-- `noted` tells a pipeline's run that a job of a step has ended: job RUN-STEP-INDEX. `hold` has a job and its
-- files stay as long as the run lasts, `look_at` has a worker look at a run.
need('HGET', JOB .. '0', 'state')
need('HSET', JOB .. '0', 'first 0', 0)
need('HEXISTS', JOB .. '0', 'first 0')
need('HINCRBY', JOB .. '0', 'left 0', 0)
need('PERSIST', JOB .. '0')
need('PERSIST', PAYLOAD .. '0')
need('SADD', PAYLOAD_USERS .. '0', '0')
need('ZADD', RUNS, 'XX', 'CH', 0, '0')
need('PUBLISH', WAKE, RUNS_DUE)
local function look_at(run)
  if redis.call('ZADD', RUNS, 'XX', 'CH', 0, run) == 1 then redis.call('PUBLISH', WAKE, RUNS_DUE) end
end
local function hold(run, id, places)
  redis.call('PERSIST', JOB .. id)
  for place in string.gmatch(places or '', '%S+') do
    if type(redis.pcall('SADD', PAYLOAD_USERS .. place, run)) ~= 'table' then redis.call('PERSIST', PAYLOAD .. place) end
  end
end
local function noted(id, state, places, degraded)
  local run, step, index = string.match(id, '^(.+)-(%d+)-(%d+)$')
  if not run or redis.pcall('HGET', JOB .. run, 'state') ~= 'running' then return end
  local key = JOB .. run
  hold(run, id, places)
  if degraded then redis.pcall('HINCRBY', key, 'degraded', 1) end
  if state ~= 'succeeded' then
    redis.pcall('HINCRBY', key, 'bad ' .. step, 1)
    if state == 'cancelled' then redis.pcall('HINCRBY', key, 'off ' .. step, 1) end
    if redis.call('HEXISTS', key, 'first ' .. step) == 0 then redis.call('HSET', key, 'first ' .. step, index) end
  end
  local left = redis.pcall('HINCRBY', key, 'left ' .. step, -1)
  if type(left) == 'table' or left <= 0 then look_at(run) end
end
