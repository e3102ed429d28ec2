#!lua flags=allow-oom
-- Store a file of a result in a server that is full, up to PAST_LIMIT times its `maxmemory`.
-- include levels
local used, limit = levels()
if used > limit * PAST_LIMIT then return redis.error_reply('OOM no room for results either') end
return redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2], 'NX')
