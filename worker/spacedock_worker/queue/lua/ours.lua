-- The fence. `worker` is written by whoever claims the job, in one step with the lease.
local row = redis.call('HMGET', KEYS[1], 'state', 'worker', 'cancel', 'files', 'deaths', 'losses', 'lane')
if row[1] ~= 'running' or row[2] ~= ARGV[1] then
  -- Whoever asks is alive: if its death was noted down, it was only out of reach.
  local from, to = string.find(row[5] or '', ARGV[1] .. ' ', 1, true)
  if from then
    redis.call('HSET', KEYS[1], 'deaths', string.sub(row[5], 1, from - 1) .. string.sub(row[5], to + 1))
  end
  return 0
end
