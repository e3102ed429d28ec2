#!lua flags=allow-oom
-- include files
-- include settings
need('DEL', KEYS[1])
need('DEL', PAYLOAD .. '0')
need('HSET', KEYS[1], 'state', '')
need('HGETALL', KEYS[1])
need('EXPIRE', KEYS[1], 1)
need('SET', SCRUB, '1')
-- Deletes a job that has ended, and those of its steps; returns how it ended, and when it was submitted.
local forget
function forget(key)
  local row = redis.call('HMGET', key, 'result', 'outputs', 'state', 'submitted', 'target')
  if not row[1] or not row[3] then return nil end
  local run = string.match(key, '([^:]+)-%d+-%d+$')
  if run then release_files(run, row[2], setting('results', KEEP_RESULTS)) end
  for place in string.gmatch(row[2] or '', '%S+') do
    if string.find(place, '.', 1, true) then redis.call('DEL', PAYLOAD .. place) end
  end
  local steps = string.find(row[5] or '', '^pipeline:') and redis.call('HGETALL', key) or {}
  for n = 1, #steps, 2 do
    local number = string.match(steps[n], '^step (%d+)$')
    for index = 0, number and cjson.decode(steps[n + 1]).total - 1 or -1 do forget(key .. '-' .. number .. '-' .. index) end
  end
  redis.call('DEL', key)
  return row[3], row[4] or '0'
end
local state, submitted = forget(KEYS[1])
if not state then return 0 end
-- Without a note it is no deletion that somebody asked for, so the server's file on disk need not change.
if ARGV[1] == '0' then return 1 end
redis.call('HSET', KEYS[1], 'state', state, 'submitted', submitted, 'deleted', '1')
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SET', SCRUB, '1')
return 1
