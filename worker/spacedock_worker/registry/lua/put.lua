-- Replace an entry that still is as it is thought to be; with a new version, and a repository.
-- include catalogue_needs
local name, before, after, version, repository = unpack(ARGV)
local there = redis.call('HGET', KEYS[1], name)
if (there or '') ~= before then return 0 end
if not there and redis.call('HLEN', KEYS[1]) >= MAX_RECORDS then return -1 end
if after == '' then redis.call('HDEL', KEYS[1], name) else redis.call('HSET', KEYS[1], name, after) end
if repository == 'none' then
  redis.call('HDEL', KEYS[3], name)
elseif repository ~= 'same' then
  redis.call('HSET', KEYS[3], name, repository)
end
redis.call('SET', KEYS[2], version)
redis.call('PUBLISH', CATALOGUE_CHANGED, version)
return 1
