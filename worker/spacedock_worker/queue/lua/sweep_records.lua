#!lua flags=allow-oom
-- The records of jobs that ended so long ago; a job that waits or runs has no end and is not touched.
-- include settings
local now = redis.call('TIME')
local seconds, count, bytes = now[1] + now[2] / 1000000, 0, 0
local kept, dead = setting('results', KEEP_RESULTS), setting('dead', KEEP_DEAD)
for _, key in ipairs(KEYS) do
  -- Whatever else somebody has put under such a name is no record.
  local record = redis.call('TYPE', key).ok == 'hash'
  local row = record and redis.call('HMGET', key, 'state', 'submitted', 'result') or {}
  local left = redis.call('TTL', key)
  if row[1] and row[1] ~= 'queued' and row[1] ~= 'running' and left >= 0 then
    -- Each is an upper bound of the time since the end: records may be kept for a shorter time than most,
    -- and a job that was cancelled while it waited tells no time of its own. What asked to be kept for longer
    -- than most stays.
    local age = (row[1] == 'dead' and dead or kept) - left
    local total = tonumber(string.match(row[3] or '', '"total":([%d.]+)') or 0)
    age = math.min(age, seconds - (tonumber(row[2]) or 0) - (total or 0))
    if age >= tonumber(ARGV[1]) then
      count = count + 1
      bytes = bytes + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0)
      if ARGV[2] == '0' then
        if redis.call('HEXISTS', key, 'private') == 1 then redis.call('SET', SCRUB, '1') end
        redis.call('DEL', key)
      end
    end
  end
end
return {count, bytes}
