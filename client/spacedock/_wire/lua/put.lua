#!lua flags=allow-oom
need('LREM', KEYS[1], 0, ARGV[1])
need('BRPOP', KEYS[2], 0)
-- include push
