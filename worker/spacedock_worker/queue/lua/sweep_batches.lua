#!lua flags=allow-oom
-- Take the jobs that are kept no longer off the beginnings of batches' lists, and batches that have none left.
local MOST = 5000
for _, key in ipairs(KEYS) do
  local list = BATCH_JOBS .. string.sub(key, #BATCH + 1)
  if redis.call('TYPE', key).ok == 'hash' and redis.call('TYPE', list).ok ~= 'string' then
    for _ = 1, MOST do
      local first = redis.pcall('LINDEX', list, 0)
      if type(first) ~= 'string' or redis.call('EXISTS', JOB .. first) == 1 then break end
      redis.call('LPOP', list)
    end
    local left = redis.call('HMGET', key, 'queued', 'running')
    local ended = (tonumber(left[1]) or 0) <= 0 and (tonumber(left[2]) or 0) <= 0
    if ended and redis.call('EXISTS', list) == 0 then redis.call('DEL', key) end
  end
end
