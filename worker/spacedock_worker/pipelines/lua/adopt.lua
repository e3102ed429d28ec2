-- Take over what an earlier run has of a step. ARGV: the step of this run (RUN-NUMBER), that of the earlier
-- one, the step's number, then for each call its index and the SHA-1 of its request: what answered just that.
-- Returns how many of the step's jobs have not ended.
-- include files
-- include noted
need('HMGET', JOB .. '0', 'state')
need('EXISTS', JOB .. '0', PAYLOAD .. '0')
need('COPY', JOB .. '0', JOB .. '0')
need('HGET', KEYS[1], 'left 0')
local run = string.match(ARGV[1], '^(.+)-%d+$')
local function there(places)
  for place in string.gmatch(places or '', '%S+') do
    if redis.call('EXISTS', PAYLOAD .. place) == 0 then return false end
  end
  return true
end
for n = 4, #ARGV, 2 do
  local old, new = JOB .. ARGV[2] .. '-' .. ARGV[n], ARGV[1] .. '-' .. ARGV[n]
  local state, request, places, result = unpack(redis.call('HMGET', old, 'state', 'request', 'outputs', 'result'))
  local same = state == 'succeeded' and request and redis.sha1hex(request) == ARGV[n + 1]
  if same and there(places) and redis.call('EXISTS', JOB .. new) == 0 then
    redis.call('COPY', old, JOB .. new)
    hold(run, new, places)
    if string.match(result or '', '"degraded":(%a+)') == 'true' then redis.call('HINCRBY', KEYS[1], 'degraded', 1) end
    redis.call('HINCRBY', KEYS[1], 'left ' .. ARGV[3], -1)
  end
end
return tonumber(redis.call('HGET', KEYS[1], 'left ' .. ARGV[3]))
