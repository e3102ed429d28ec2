-- `enqueue` lets a job wait in its lane, `dequeue` takes it out. A new lane starts where others are.
-- The most bytes of a lane or a target: ours have 1,600 at most.
local NAME_BYTES = 2000
need('TYPE', QUEUE)
need('DEL', QUEUE)
need('TYPE', WAITING .. '0')
need('DEL', WAITING .. '0')
need('DEL', LANE .. '0', LANES)
need('GET', VIRTUAL)
need('ZADD', WAITING .. '0', 0, '0')
need('ZADD', LANE .. '0', 0, '0')
need('ZADD', LANES, 0, '0')
need('ZSCORE', LANES, '0')
need('ZRANGE', WAITING .. '0', 0, 0)
need('ZRANGE', LANES, 0, 0)
need('ZCARD', LANE .. '0')
need('ZREM', WAITING .. '0', '0')
need('ZREM', LANE .. '0', '0')
need('ZREM', LANES, '0')
-- What somebody else has put in the place of a sorted set is taken away.
local function sorted(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
  return key
end
local function waiting_of(lane, target) return WAITING .. lane .. '|' .. target end
-- A number to reckon with; nil for what somebody else has put there, such as nan and inf.
local function finite(text)
  local number = tonumber(text)
  return number and math.abs(number) < 1e12 and number or nil
end
local function virtual_now()
  local text = redis.pcall('GET', VIRTUAL)
  return type(text) == 'string' and finite(text) or 0
end
local function stands(lane)
  local had = redis.call('ZSCORE', sorted(LANES), lane)
  return had and (finite(had) or virtual_now())
end
-- The time of the oldest job that this script has put there.
local oldest = {}
local function enqueue(lane, target, id, due)
  local waiting = waiting_of(lane, target)
  due = tonumber(due)
  if oldest[waiting] and oldest[waiting] <= due then return redis.call('ZADD', waiting, due, id) end
  oldest[waiting] = due
  redis.call('ZADD', sorted(waiting), due, id)
  redis.call('ZADD', sorted(LANE .. lane), 'LT', due, target)
  if not redis.call('ZSCORE', sorted(LANES), lane) then
    -- Jobs are charged before they have run: a lane may turn out to have had less than was thought.
    local start = virtual_now()
    local least = finite(redis.call('ZRANGE', LANES, 0, 0, 'WITHSCORES')[2])
    redis.call('ZADD', LANES, math.min(start, least or start), lane)
  end
end
local function refresh(lane, target)
  local places, head = sorted(LANE .. lane), sorted(waiting_of(lane, target))
  local first = redis.call('ZRANGE', head, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', places, first[2], target)
  else redis.call('ZREM', places, target) end
  if redis.call('ZCARD', places) == 0 then redis.call('ZREM', sorted(LANES), lane) end
end
local function lane_of(lane, target)
  return string.sub(lane or '', 1, NAME_BYTES), string.sub(target or '', 1, NAME_BYTES)
end
local function dequeue(id, lane, target)
  lane, target = lane_of(lane, target)
  redis.call('ZREM', sorted(waiting_of(lane, target)), id)
  refresh(lane, target)
end
sorted(QUEUE)
