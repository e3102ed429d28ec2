-- Fill a catalogue that was never written.
-- include catalogue_needs
need('EXISTS', KEYS[2])
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
for place = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('PUBLISH', CATALOGUE_CHANGED, ARGV[1])
return 1
