-- Replace entries that still are as they are thought to be, all of them or none; with a new version.
-- ARGV: the version, then for each its name, what it was, what it becomes, and its repository.
-- include catalogue_needs
local more = 0
for n = 2, #ARGV, 4 do
  local there = redis.call('HGET', KEYS[1], ARGV[n])
  if (there or '') ~= ARGV[n + 1] then return 0 end
  if not there then more = more + 1 end
end
if more > 0 and redis.call('HLEN', KEYS[1]) + more > MAX_RECORDS then return -1 end
for n = 2, #ARGV, 4 do
  local name, _, after, repository = unpack(ARGV, n, n + 3)
  if after == '' then redis.call('HDEL', KEYS[1], name) else redis.call('HSET', KEYS[1], name, after) end
  if repository == 'none' then
    redis.call('HDEL', KEYS[3], name)
  elseif repository ~= 'same' then
    redis.call('HSET', KEYS[3], name, repository)
  end
end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('PUBLISH', CATALOGUE_CHANGED, ARGV[1])
return 1
