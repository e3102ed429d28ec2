#!lua flags=allow-oom
-- include files
-- include ended
-- include lanes
-- include batches
-- include announce
-- include noted
need('HGET', KEYS[1], 'state')
need('ZREM', ARGV[3], ARGV[1])
need('DEL', KEYS[2], KEYS[3])
need('PUBLISH', ARGV[4], ARGV[1])
need('PUBLISH', ARGV[5], ARGV[1])
need('HMGET', KEYS[1], 'lane')
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return false end
if state == 'queued' then
  redis.call('HSET', KEYS[1], 'state', 'cancelled', 'result', ARGV[2])
  local keep = ended(KEYS[1])
  redis.call('ZREM', ARGV[3], ARGV[1])
  local lane, target = unpack(redis.call('HMGET', KEYS[1], 'lane', 'target'))
  dequeue(ARGV[1], lane, target)
  counted_out(lane, 'queued', 'cancelled', false, keep)
  redis.call('DEL', KEYS[2], KEYS[3])
  release_files(ARGV[1], redis.call('HGET', KEYS[1], 'files'), keep)
  announce(lane, ARGV[6], redis.call('HGET', KEYS[1], 'labels'))
  redis.call('PUBLISH', ARGV[4], ARGV[1])
  noted(ARGV[1], 'cancelled')
  look_at(ARGV[1])
  return 'cancelled'
end
if state == 'running' then
  redis.call('HSET', KEYS[1], 'cancel', '1')
  redis.call('PUBLISH', ARGV[5], ARGV[1])
  look_at(ARGV[1])
end
return state
