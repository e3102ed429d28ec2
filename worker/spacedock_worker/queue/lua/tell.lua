#!lua flags=allow-oom
-- include announce
need('HSET', KEYS[1], 'message', '')
-- include ours
redis.call('HSET', KEYS[1], 'message', ARGV[2])
announce(row[7], ARGV[3])
return 1
