#!lua flags=allow-oom
-- Ends a run that has not ended. ARGV: its id, state, result, outputs (places), whether it is degraded, and
-- what is told.
-- include files
-- include ended
-- include batches
-- include announce
-- include noted
need('HMGET', KEYS[1], 'state')
need('PUBLISH', DONE, ARGV[1])
local state, lane, places = unpack(redis.call('HMGET', KEYS[1], 'state', 'lane', 'files'))
if state ~= 'queued' and state ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'result', ARGV[3], 'outputs', ARGV[4])
redis.call('HDEL', KEYS[1], 'message', 'cancel')
local keep = ended(KEYS[1])
counted_out(lane, state, ARGV[2], ARGV[5] == '1', keep)
for place in string.gmatch(ARGV[4], '%S+') do keep_file(place, keep) end
release_files(ARGV[1], places, keep)
announce(lane, ARGV[6], redis.call('HGET', KEYS[1], 'labels'))
redis.call('PUBLISH', DONE, ARGV[1])
noted(ARGV[1], ARGV[2], ARGV[4], ARGV[5] == '1')
return 1
