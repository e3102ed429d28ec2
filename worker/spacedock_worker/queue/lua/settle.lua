-- include lanes
-- include batches
need('HMGET', KEYS[1], 'lane')
need('ZREM', HELD, '0')
-- The lane pays for what the job took (weighted seconds) in place of what it was charged.
local function settle(id, spent)
  local lane, charged = unpack(redis.call('HMGET', KEYS[1], 'lane', 'charged'))
  lane = lane_of(lane)
  local stood, owed = stands(lane), spent - (finite(charged) or 0)
  if stood then redis.call('ZADD', LANES, stood + owed, lane) end
  redis.call('HDEL', KEYS[1], 'charged')
  redis.call('ZREM', sorted(HELD), id)
  return lane
end
