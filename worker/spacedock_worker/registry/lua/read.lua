-- The version, the entries by name within bounds, and how many were left out.
local found, count = {redis.call('GET', KEYS[2])}, 0
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if count < MAX_RECORDS and redis.call('HSTRLEN', KEYS[1], name) <= MAX_RECORD_BYTES then
    found[#found + 1], found[#found + 2] = name, redis.call('HGET', KEYS[1], name)
    count = count + 1
  end
end
found[#found + 1] = redis.call('HLEN', KEYS[1]) - count
return found
