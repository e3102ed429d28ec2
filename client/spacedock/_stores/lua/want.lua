#!lua flags=allow-oom
-- Which of the files are lacking: place, seconds to wait for a job, and the size of one that goes to the store.
-- Such a one is noted down before it comes, so that nobody who tidies the store up takes it for a stray.
need('TYPE', PAYLOAD .. '0')
need('HGET', PAYLOAD .. '0', 'state')
need('HSET', PAYLOAD .. '0', 'state', '')
need('EXPIRE', PAYLOAD .. '0', 1)
need('DEL', PAYLOAD .. '0')
need('TTL', PAYLOAD .. '0')
-- What says so without such an end is somebody else's rubbish: nobody waits for it.
local function being_deleted(key)
  local left = redis.call('TTL', key)
  return left >= 0 and left <= DELETING_SECONDS
end
local answers = {}
for n = 1, #ARGV, 3 do
  local key, seconds, size = PAYLOAD .. ARGV[n], ARGV[n + 1], ARGV[n + 2]
  local kind = redis.call('TYPE', key).ok
  local state = kind == 'hash' and redis.call('HGET', key, 'state')
  if kind ~= 'none' and (kind ~= 'hash' or state == 'in') then
    -- It waits for its job anew. GT never shortens: one that unfinished jobs need has no end.
    redis.call('EXPIRE', key, seconds, 'GT')
    table.insert(answers, 'here')
  elseif state == 'gone' and being_deleted(key) then table.insert(answers, 'gone')
  else
    if kind == 'hash' then redis.call('DEL', key) end
    if size ~= '' then
      redis.call('HSET', key, 'state', 'coming', 'size', size)
      redis.call('EXPIRE', key, seconds)
    end
    table.insert(answers, 'lacking')
  end
end
return answers
