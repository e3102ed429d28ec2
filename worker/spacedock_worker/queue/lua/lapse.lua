#!lua flags=allow-oom
-- Let the leases of a worker that is dead run out now: whoever looks next lets its jobs wait again.
-- ARGV: the worker; whom its death is charged to: ALL that it executed, where nobody is accused yet, NONE, or
-- "" where nobody knows.
-- include suspects
-- include lanes
need('ZRANGE', HELD, 0, 0)
need('ZADD', HELD, 'XX', 0, '0')
need('GET', IN_PROGRESS .. '0')
need('DEL', IN_PROGRESS .. '0')
need('PUBLISH', WAKE, '1')
local charge = ARGV[2]
if charge == NONE or charge == ALL and not said(ACCUSED .. ARGV[1]) then accuse(ARGV[1], charge) end
local held = sorted(HELD)
for _, id in ipairs(redis.call('ZRANGE', held, 0, -1)) do
  if redis.pcall('GET', IN_PROGRESS .. id) == ARGV[1] then
    redis.call('DEL', IN_PROGRESS .. id)
    redis.call('ZADD', held, 'XX', 0, id)
  end
end
redis.call('PUBLISH', WAKE, '1')
