-- Let jobs of lost workers wait again, take waiting jobs, and tell the heads of the lanes that are left.
-- ARGV: the worker, LEASE_MS, the host, suspects in hand; the number of targets that are not told, and
-- they; then for each pick its lane, target, count, charge, and what the lane is behind those that are
-- served. One round trip: a worker chooses by what the last one told.
-- include suspects
-- include lanes
-- include batches
-- include records
-- include lost
-- How many targets of each lane are told, and how many lanes and targets are looked at for that.
local TARGETS_SEEN, LANES_LOOKED, TARGETS_LOOKED, MOST_LOOKS = 32, 2048, 512, 4096
local LAPSED_SEEN, PASSED_OVER = 100, 20
-- How long a suspect rests that finds another one at work.
local SUSPECT_REST_MS = 1000
-- Of arq's definition of a job: ours has 60. And how long arq counts its tries.
local MOST_DEFINITION_BYTES, TRIES_SECONDS = 4096, 88400
need('ZADD', QUEUE, 0, '0')
need('ZADD', HELD, 0, '0')
need('ZRANGEBYSCORE', HELD, 0, 0)
need('ZRANGEBYSCORE', WAITING .. '0', '-inf', 0)
need('ZCARD', HELD)
need('ZCARD', QUEUE)
need('ZSCORE', QUEUE, '0')
need('PTTL', IN_PROGRESS .. '0')
need('SET', IN_PROGRESS .. '0', ARGV[1], 'PX', ARGV[2])
need('SET', VIRTUAL, '0')
need('GET', ARQ_JOB .. '0')
need('INCR', ARQ_RETRY .. '0')
need('SET', ARQ_RETRY .. '0', '1')
need('EXPIRE', ARQ_RETRY .. '0', 1)
need('SISMEMBER', PAUSED, '0')
need('STRLEN', ARQ_JOB .. '0')
need('HSTRLEN', JOB .. '0', 'request')
need('HGET', JOB .. '0', 'request')
need('HSET', JOB .. '0', 'state', 'queued')
need('HDEL', JOB .. '0', 'waits')
local me, suspects = ARGV[1], tonumber(ARGV[4])
local claimed, lanes, held = {}, {}, sorted(HELD)
-- 1 where it is larger than any that a client sends: nobody shall have to read it.
local function request(id)
  local job = JOB .. id
  if redis.call('HSTRLEN', job, 'request') > MAX_REQUEST_BYTES then return 1 end
  return redis.call('HGET', job, 'request')
end
local function drop_rubbish(id)
  local size = redis.pcall('STRLEN', ARQ_JOB .. id)
  if type(size) == 'table' or size > MOST_DEFINITION_BYTES then
    redis.call('DEL', ARQ_JOB .. id)
  end
end
-- As arq counts a job that it begins to run, whose definition it reads in the same step.
local function begun(id)
  local tries = ARQ_RETRY .. id
  if type(redis.pcall('INCR', tries)) == 'table' then redis.call('SET', tries, '1') end
  redis.call('EXPIRE', tries, TRIES_SECONDS)
  return said(ARQ_JOB .. id) or false
end
local function is_suspect(row)
  local deadly, unlucky = suspected(row[7], row[8])
  return (deadly or unlucky) and count(row[7]) < MAX_TRIES, unlucky
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
  redis.call('SET', IN_PROGRESS .. id, me, 'PX', ARGV[2])
  redis.call('ZADD', held, due + ARGV[2], id)
  drop_rubbish(id)
  local submitted, suspect = string.sub(row[2] or '', 1, 40), is_suspect(row)
  local lane, target = lane_of(row[9], row[10])
  claimed[#claimed + 1] = {
    id, request(id), submitted, row[3] and 1 or false, count(row[7]), suspect, lane, target, begun(id)}
end
local function take(id, row, charge)
  redis.call('HSET', JOB .. id, 'state', 'running', 'worker', me, 'waits', '1', 'charged', charge)
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
  local since = redis.call('ZSCORE', QUEUE, id) or due
  if rest > 0 then
    since = due + rest
    redis.call('ZADD', QUEUE, since, id)
  end
  redis.call('DEL', IN_PROGRESS .. id, ARQ_RETRY .. id)
  redis.call('ZREM', held, id)
  local lane, target = lane_of(row[9], row[10])
  local had, charged = stands(lane), finite(redis.call('HGET', JOB .. id, 'charged'))
  if had and charged then redis.call('ZADD', LANES, had - charged, lane) end
  redis.call('HDEL', JOB .. id, 'charged')
  moved(lane, 'running', 'queued', 1)
  enqueue(lane, target, id, since)
end
for _, range in ipairs({{'-inf', due}, {far, '+inf'}}) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', held, range[1], range[2], 'LIMIT', 0, LAPSED_SEEN)) do
    local left = redis.call('PTTL', IN_PROGRESS .. id)
    if left > 0 then redis.call('ZADD', held, due + left, id) else taken_back(id) end
  end
end
local skipped, skips = {}, tonumber(ARGV[5])
for n = 6, 5 + skips do skipped[ARGV[n]] = true end
for n = 6 + skips, #ARGV, 5 do
  local lane, target, left, charge, lag = unpack(ARGV, n, n + 4)
  left = tonumber(left)
  local waiting, total, before = sorted(waiting_of(lane, target)), 0, #claimed
  local most, first = left + PASSED_OVER, redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
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
    else
      -- Another suspect runs: places that it cannot use are not kept for it meanwhile.
      redis.call('ZADD', waiting, due + SUSPECT_REST_MS, id)
    end
  end
  moved(lane, 'queued', 'running', #claimed - before)
  local stood = (stands(lane) or 0) + lag
  if total > 0 and stood > virtual_now() then redis.call('SET', VIRTUAL, tostring(stood)) end
  if total > 0 then redis.call('ZADD', LANES, stood + total, lane) end
  refresh(lane, target)
end
local all, seen, looks = true, redis.call('ZCARD', held), MOST_LOOKS
-- The targets of which something can be taken here; those without jobs are taken away.
local function heads_of(lane)
  local found, empty, places = {}, {}, sorted(LANE .. lane)
  local heads = redis.call('ZRANGE', places, 0, TARGETS_LOOKED - 1, 'WITHSCORES')
  looks = looks - 1
  if #heads == 2 * TARGETS_LOOKED then all = false end
  for k = 1, #heads, 2 do
    if #found == 3 * TARGETS_SEEN or looks == 0 then all = false break end
    looks = looks - 1
    local target, since = heads[k], tonumber(heads[k + 1])
    local waiting = #target <= NAME_BYTES and redis.call('ZCARD', sorted(waiting_of(lane, target))) or 0
    seen = seen + waiting
    if waiting == 0 then empty[#empty + 1] = target
    elseif (since <= due or since > far) and not skipped[target] then
      found[#found + 1], found[#found + 2], found[#found + 3] = target, heads[k + 1], waiting
    end
  end
  if #empty > 0 then redis.call('ZREM', places, unpack(empty)) end
  if redis.call('ZCARD', places) == 0 then redis.call('ZREM', LANES, lane) end
  return found
end
local standing = redis.call('ZRANGE', sorted(LANES), 0, LANES_LOOKED - 1, 'WITHSCORES')
if #standing == 2 * LANES_LOOKED then all = false end
for n = 1, #standing, 2 do
  if #lanes == LANES_SEEN or looks == 0 then all = false break end
  local lane, had = standing[n], finite(standing[n + 1]) or virtual_now()
  if #lane > NAME_BYTES then redis.call('ZREM', LANES, lane)
  else
    local found = heads_of(lane)
    if #found > 0 then lanes[#lanes + 1] = {lane, tostring(had), found} end
  end
end
local paused = redis.call('SISMEMBER', PAUSED, ARGV[3])
-- Where not all was seen there may be strays.
local lacking = not all or redis.call('ZCARD', QUEUE) ~= seen
return {seconds, claimed, tostring(due), tostring(virtual_now()), lacking and 1 or 0, paused, lanes}
