#!lua flags=allow-oom
-- Ends jobs, with four KEYS and eight ARGV for each; one that fails keeps no other from its end.
local all_keys, all_args = KEYS, ARGV
local KEYS, ARGV
-- include files
-- include ended
-- include suspects
-- include lanes
-- include batches
-- include announce
-- include settle
-- include noted
need('DEL', KEYS[2], KEYS[3], KEYS[4])
need('ZREM', QUEUE, ARGV[2])
need('PUBLISH', DONE, ARGV[2])
local function finish()
-- include ours
  local id = ARGV[2]
  redis.call('HSET', KEYS[1], 'state', ARGV[3], 'result', ARGV[4], 'outputs', ARGV[5])
  redis.call('HDEL', KEYS[1], 'message', 'worker', 'cancel', 'waits', 'deaths', 'losses')
  acquit(ARGV[1], id)
  local lane, keep = settle(id, tonumber(ARGV[6])), ended(KEYS[1])
  counted_out(lane, 'running', ARGV[3], ARGV[7] == '1', keep)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
  redis.call('ZREM', QUEUE, id)
  for place in string.gmatch(ARGV[5], '%S+') do keep_file(place, keep) end
  release_files(id, row[4], keep)
  announce(lane, ARGV[8], redis.call('HGET', KEYS[1], 'labels'))
  redis.call('PUBLISH', DONE, id)
  noted(id, ARGV[3], ARGV[5], ARGV[7] == '1')
  return 1
end
local answers = {}
for n = 1, #all_keys / 4 do
  KEYS, ARGV = {unpack(all_keys, 4 * n - 3, 4 * n)}, {unpack(all_args, 8 * n - 7, 8 * n)}
  local done, answer = pcall(finish)
  if not done and type(answer) ~= 'table' then answer = {err = tostring(answer)} end
  answers[n] = answer
end
return answers
