-- A step begins, if its run goes on. ARGV: the step's number, its plan, how many jobs it has, and what is told.
-- include batches
-- include announce
need('HMGET', KEYS[1], 'state')
need('HEXISTS', KEYS[1], 'step 0')
need('HSET', KEYS[1], 'step 0', '')
local state, cancel, lane = unpack(redis.call('HMGET', KEYS[1], 'state', 'cancel', 'lane'))
if cancel or (state ~= 'queued' and state ~= 'running') then return 0 end
if state == 'queued' then
  redis.call('HSET', KEYS[1], 'state', 'running')
  moved(lane, 'queued', 'running', 1)
end
if redis.call('HEXISTS', KEYS[1], 'step ' .. ARGV[1]) == 0 then
  redis.call('HSET', KEYS[1], 'step ' .. ARGV[1], ARGV[2], 'left ' .. ARGV[1], ARGV[3], 'message', ARGV[4])
  announce(lane, ARGV[5])
end
return 1
