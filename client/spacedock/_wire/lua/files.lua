-- A job that ended needs its files no longer. Those that no other job needs live as long as its result,
-- or that of an earlier job; those of a private job, which no other job can need, go at once.
need('SREM', PAYLOAD_USERS .. '0', '0')
need('EXISTS', PAYLOAD_USERS .. '0')
need('DEL', PAYLOAD .. '0', PAYLOAD_USERS .. '0')
need('EXPIRE', PAYLOAD .. '0', 1)
need('TTL', PAYLOAD .. '0')
need('TTL', PAYLOAD_KEPT .. '0')
need('SET', PAYLOAD_KEPT .. '0', '1')
-- A file is there for so many seconds at least, also once the jobs have ended that need it now.
local function keep_file(place, keep)
  local payload, kept = PAYLOAD .. place, PAYLOAD_KEPT .. place
  local left = redis.call('TTL', payload)
  if left >= 0 and left < keep then redis.call('EXPIRE', payload, keep) end
  -- A private file goes with the last who needs it: a job, or the run of a pipeline.
  local promised = left == -1 and not string.find(place, '.', 1, true)
  if promised and redis.call('TTL', kept) < keep then redis.call('SET', kept, '1', 'EX', keep) end
end
local function release_files(id, places, keep)
  for place in string.gmatch(places or '', '%S+') do
    local users, payload = PAYLOAD_USERS .. place, PAYLOAD .. place
    -- A value of another type at this key must not stop the job's end half way.
    if type(redis.pcall('SREM', users, id)) == 'table' then redis.call('DEL', users) end
    if redis.call('EXISTS', users) == 1 then keep_file(place, keep)
    elseif string.find(place, '.', 1, true) then redis.call('DEL', payload)
    else redis.call('EXPIRE', payload, math.max(keep, redis.call('TTL', PAYLOAD_KEPT .. place))) end
  end
end
