-- See that ARGV[2] jobs of arq's queue, from ARGV[1] on, wait in a lane or are held; drop what is none.
-- Jobs of an earlier release, and what somebody else wrote into the queue, are in no lane.
-- include lanes
-- include records
need('ZRANGE', QUEUE, 0, 0)
need('ZADD', HELD, 'NX', 0, '0')
need('ZSCORE', QUEUE, '0')
need('ZSCORE', WAITING .. '0', '0')
local ids = redis.call('ZRANGE', QUEUE, ARGV[1], ARGV[1] + ARGV[2] - 1)
local dropped, mended = 0, 0
for _, id in ipairs(ids) do
  local row = unfinished(id)
  if not row then
    forget(id)
    dropped = dropped + 1
  elseif row[4] == 'running' then
    mended = mended + redis.call('ZADD', sorted(HELD), 'NX', due, id)
  else
    local lane, target = lane_of(row[9], row[10])
    if not redis.call('ZSCORE', sorted(waiting_of(lane, target)), id) then
      enqueue(lane, target, id, redis.call('ZSCORE', QUEUE, id))
      mended = mended + 1
    end
  end
end
return {#ids, dropped, mended}
