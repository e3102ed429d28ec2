#!lua flags=allow-oom
redis.call('SET', KEYS[1], '1')
