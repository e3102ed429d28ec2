#!lua flags=allow-oom
-- include ours
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return row[3] and 2 or 1
