-- Keep an answer as long as results are kept. ARGV: the answer.
-- include settings
need('SET', KEYS[1], '')
redis.call('SET', KEYS[1], ARGV[1], 'EX', setting('results', KEEP_RESULTS))
