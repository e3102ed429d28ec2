#!lua flags=allow-oom
-- The files that no unfinished job needs, and whose last job ended so long ago.
-- include settings
local count, bytes, stored, kept = 0, 0, {}, setting('results', KEEP_RESULTS)
for _, key in ipairs(KEYS) do
  local left = redis.call('TTL', key)
  local users = PAYLOAD_USERS .. string.sub(key, #PAYLOAD + 1)
  if left >= 0 and kept - left >= tonumber(ARGV[1]) and redis.call('EXISTS', users) == 0 then
    -- Whoever has just uploaded the file, or found it there, is about to submit a job that needs it.
    -- A server that forgets by frequency (LFU) knows no idle times: its files wait for their own end.
    local idle = redis.pcall('OBJECT', 'IDLETIME', key)
    if type(idle) == 'number' and idle >= tonumber(ARGV[3]) then
      -- What is in the store is counted there.
      if redis.call('TYPE', key).ok == 'hash' then table.insert(stored, key)
      else
        count = count + 1
        -- Not STRLEN: that would count as a use, and a dry run must change nothing.
        bytes = bytes + redis.call('MEMORY', 'USAGE', key)
      end
      if ARGV[2] == '0' then redis.call('DEL', key) end
    end
  end
end
return {count, bytes, stored}
