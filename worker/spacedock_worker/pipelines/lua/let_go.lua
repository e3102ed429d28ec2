#!lua flags=allow-oom
-- The jobs of a run that has ended are kept as long as the run, and so are their files. ARGV: the run's id and
-- those of jobs that have ended or do not exist.
-- include files
-- include settings
need('TTL', KEYS[1])
need('HMGET', JOB .. '0', 'state')
need('EXPIRE', JOB .. '0', 1)
local keep = redis.call('TTL', KEYS[1])
-- A run that is a step itself stays until the run that it is of has ended.
if keep == -1 then keep = setting('results', KEEP_RESULTS) end
keep = math.max(keep, 1)
for n = 2, #ARGV do
  local job = JOB .. ARGV[n]
  local state, places = unpack(redis.call('HMGET', job, 'state', 'outputs'))
  if state and state ~= 'queued' and state ~= 'running' and redis.call('TTL', job) == -1 then
    redis.call('EXPIRE', job, keep)
    for place in string.gmatch(places or '', '%S+') do
      redis.pcall('SREM', PAYLOAD_USERS .. place, ARGV[1])
      if redis.call('EXISTS', PAYLOAD_USERS .. place) == 1 then keep_file(place, keep)
      else redis.call('EXPIRE', PAYLOAD .. place, math.max(keep, redis.call('TTL', PAYLOAD_KEPT .. place))) end
    end
  end
end
