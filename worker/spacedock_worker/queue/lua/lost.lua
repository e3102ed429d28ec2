-- The job (its row as claimed) was held by a worker that is lost; returns for how long it rests now (ms).
local function lost(id, holder, row)
  local job, accused = JOB .. id, said(ACCUSED .. holder)
  redis.call('HSET', job, 'state', 'queued')
  redis.call('HDEL', job, 'worker', 'waits')
  if accused == NONE then return 0 end
  redis.call('HSET', job, 'losses', (tonumber(row[8] or 0) or 0) + 1)
  if accused ~= id and (accused ~= ALL or row[5]) then return 0 end
  local deaths = (row[7] or '') .. holder .. ' '
  redis.call('HSET', job, 'deaths', deaths)
  local times = count(deaths)
  -- What kills workers for a while, and is not the job, has ended when it runs again.
  if times < SUSPECT_DEATHS or times >= MAX_TRIES then return 0 end
  return 1000 * 2 ^ (times - 1)
end
