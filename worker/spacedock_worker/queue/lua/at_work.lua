#!lua flags=allow-oom
-- include suspects
need('HDEL', KEYS[1], 'waits')
need('HSET', KEYS[1], 'waits', '1')
-- include ours
local deadly, unlucky = suspected(row[5], row[6])
if ARGV[3] == '1' then
  redis.call('HDEL', KEYS[1], 'waits')
  if deadly then accuse(ARGV[1], ARGV[2]) end
else
  redis.call('HSET', KEYS[1], 'waits', '1')
  if not unlucky then acquit(ARGV[1], ARGV[2]) end
end
return 1
