#!lua flags=allow-oom
-- A look at a run met what should not be. ARGV: its id; when it was to be looked at next; the pause (s) after
-- the first such look, four times as long after each further one; and how many looks in a row are the last.
-- Returns how many there were.
need('TIME')
need('EXISTS', KEYS[1])
need('HINCRBY', KEYS[1], 'faults', 0)
need('ZSCORE', RUNS, '0')
need('ZADD', RUNS, 0, '0')
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local count = redis.call('HINCRBY', KEYS[1], 'faults', 1)
if count < tonumber(ARGV[4]) and tonumber(redis.call('ZSCORE', RUNS, ARGV[1]) or 0) == tonumber(ARGV[2]) then
  redis.call('ZADD', RUNS, redis.call('TIME')[1] + ARGV[3] * 4 ^ (count - 1), ARGV[1])
end
return count
