#!lua flags=allow-oom
-- The answers that were kept for later calls so long ago.
-- include settings
local count, bytes, kept = 0, 0, setting('results', KEEP_RESULTS)
for _, key in ipairs(KEYS) do
  if kept - redis.call('TTL', key) >= tonumber(ARGV[1]) then
    count = count + 1
    bytes = bytes + redis.call('MEMORY', 'USAGE', key)
    if ARGV[2] == '0' then redis.call('DEL', key) end
  end
end
return {count, bytes}
