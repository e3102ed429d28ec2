-- Claims the deliveries that are due: until the lease is over no other daemon takes them.
need('ZRANGEBYSCORE', WEBHOOKS, 0, 1)
need('ZADD', WEBHOOKS, 0, '0')
local now = redis.call('TIME')[1]
local due = redis.call('ZRANGEBYSCORE', WEBHOOKS, '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do redis.call('ZADD', WEBHOOKS, now + ARGV[2], id) end
return due
