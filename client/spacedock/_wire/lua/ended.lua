-- How many seconds a job is kept that ended; nobody needs the prompt of a private one any more.
-- include settings
need('HMGET', KEYS[1], 'private')
need('HSET', KEYS[1], 'state', '')
need('HDEL', KEYS[1], 'request')
need('EXPIRE', KEYS[1], 1)
need('SET', SCRUB, '1')
local function ended(job)
  local state, keep, private = unpack(redis.call('HMGET', job, 'state', 'keep', 'private'))
  if private then
    redis.call('HDEL', job, 'request', 'message')
    redis.call('SET', SCRUB, '1')
  end
  keep = math.floor(math.min(math.max(tonumber(keep) or 0, 0), MAX_KEEP_S))
  if keep ~= keep or keep < 1 then
    if private then keep = setting('private', KEEP_PRIVATE)
    elseif state == 'dead' then keep = setting('dead', KEEP_DEAD)
    else keep = setting('results', KEEP_RESULTS) end
  end
  redis.call('EXPIRE', job, keep)
  return keep
end
