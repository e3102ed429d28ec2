#!lua flags=allow-oom
-- The store has the file: its size, seconds to wait for a job, its place, and the store's identity.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then return end
redis.call('HSET', KEYS[1], 'state', 'in', 'size', ARGV[1], 'store', ARGV[4])
local left, users = redis.call('TTL', KEYS[1]), PAYLOAD_USERS .. ARGV[3]
if left < tonumber(ARGV[2]) and redis.call('EXISTS', users) == 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
