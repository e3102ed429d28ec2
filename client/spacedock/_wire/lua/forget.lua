#!lua flags=allow-oom
need('DEL', KEYS[1])
need('DEL', PAYLOAD .. '0')
need('HSET', KEYS[1], 'state', '')
need('EXPIRE', KEYS[1], 1)
need('SET', SCRUB, '1')
local row = redis.call('HMGET', KEYS[1], 'result', 'outputs', 'state', 'submitted')
if not row[1] or not row[3] then return 0 end
for place in string.gmatch(row[2] or '', '%S+') do
  if string.find(place, '.', 1, true) then redis.call('DEL', PAYLOAD .. place) end
end
redis.call('DEL', KEYS[1])
-- Without a note it is no deletion that somebody asked for, so the server's file on disk need not change.
if ARGV[1] == '0' then return 1 end
redis.call('HSET', KEYS[1], 'state', row[3], 'submitted', row[4] or '0', 'deleted', '1')
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SET', SCRUB, '1')
return 1
