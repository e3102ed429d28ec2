#!lua flags=allow-oom
-- The first ARGV[1] runs that are to be looked at, but for those that are named after ARGV[2]: the record of
-- each, and when it is looked at again if nobody comes back, after ARGV[2] seconds.
-- include lanes
need('TIME')
need('ZRANGEBYSCORE', RUNS, 0, 0)
need('ZADD', RUNS, 0, '0')
need('ZREM', RUNS, '0')
need('HGETALL', JOB .. '0')
local busy = {}
for n = 3, #ARGV do busy[ARGV[n]] = true end
local now, found = redis.call('TIME'), {}
local seconds = now[1] + now[2] / 1000000
local lease = string.format('%.3f', seconds + ARGV[2])
local most = ARGV[1] + #ARGV - 2
for _, run in ipairs(redis.call('ZRANGEBYSCORE', sorted(RUNS), '-inf', seconds, 'LIMIT', 0, most)) do
  local row = redis.pcall('HGETALL', JOB .. run)
  if row.err or #row == 0 then redis.call('ZREM', RUNS, run)
  elseif not busy[run] then
    redis.call('ZADD', RUNS, lease, run)
    found[#found + 1] = {run, row}
  end
end
return {tostring(seconds), lease, found}
