need('LPUSH', KEYS[1], ARGV[1])
need('EXPIRE', KEYS[1], ARGV[2])
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
