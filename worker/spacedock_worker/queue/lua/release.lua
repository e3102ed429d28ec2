#!lua flags=allow-oom
-- include suspects
-- include lanes
-- include batches
-- include settle
need('HSET', KEYS[1], 'state', 'queued')
need('HDEL', KEYS[1], 'worker')
need('DEL', KEYS[2], KEYS[3])
need('PUBLISH', WAKE, '1')
need('ZADD', QUEUE, 0, ARGV[2])
need('ZSCORE', QUEUE, ARGV[2])
-- include ours
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('HDEL', KEYS[1], 'worker', 'waits')
redis.call('DEL', KEYS[2], KEYS[3])
acquit(ARGV[1], ARGV[2])
moved(settle(ARGV[2], 0), 'running', 'queued', 1)
local due = redis.call('ZSCORE', QUEUE, ARGV[2])
if not due or tonumber(ARGV[3]) > 0 then
  local now = redis.call('TIME')
  due = now[1] * 1000 + now[2] / 1000 + ARGV[3] * 1000
  redis.call('ZADD', QUEUE, due, ARGV[2])
end
local lane, target = lane_of(unpack(redis.call('HMGET', KEYS[1], 'lane', 'target')))
enqueue(lane, target, ARGV[2], due)
redis.call('PUBLISH', WAKE, '1')
return 1
