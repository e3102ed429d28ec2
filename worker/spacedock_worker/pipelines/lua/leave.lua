#!lua flags=allow-oom
-- A run was looked at. ARGV: its id; when it was to be looked at next (if that is another time by now,
-- something has happened to it meanwhile); after how many seconds it is looked at again (0: never); and the
-- numbers of steps whose jobs were all submitted.
need('TIME')
need('EXISTS', KEYS[1])
need('HSET', KEYS[1], 'sent 0', 1)
need('HDEL', KEYS[1], 'faults')
need('ZSCORE', RUNS, '0')
need('ZADD', RUNS, 0, '0')
need('ZREM', RUNS, '0')
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HDEL', KEYS[1], 'faults')
  for n = 4, #ARGV do redis.call('HSET', KEYS[1], 'sent ' .. ARGV[n], 1) end
end
if tonumber(redis.call('ZSCORE', RUNS, ARGV[1]) or 0) == tonumber(ARGV[2]) then
  if ARGV[3] == '0' then redis.call('ZREM', RUNS, ARGV[1])
  else redis.call('ZADD', RUNS, redis.call('TIME')[1] + ARGV[3], ARGV[1]) end
end
