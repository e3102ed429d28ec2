#!lua flags=allow-oom
-- Whether nobody knows of the file; if so, nobody puts it either, for so many seconds or until `deleted`.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'state', 'gone')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
