-- Turns a callback whose time has come into a delivery that is due; once, however many daemons see it.
need('HGET', CALLBACKS, '0')
need('HDEL', CALLBACKS, '0')
need('HSET', WEBHOOK .. '0', 'state', '')
need('EXPIRE', WEBHOOK .. '0', 1)
need('ZADD', WEBHOOKS, 0, '0')
local name, url, id, kind, body = unpack(ARGV)
if redis.call('HGET', CALLBACKS, name) ~= url then return 0 end
redis.call('HDEL', CALLBACKS, name)
local now = redis.call('TIME')[1]
redis.call('HSET', WEBHOOK .. id, 'url', url, 'type', kind, 'body', body, 'created', now, 'tries', 0,
  'state', 'waiting', 'said', '')
redis.call('EXPIRE', WEBHOOK .. id, KEEP_WEBHOOKS)
redis.call('ZADD', WEBHOOKS, now, id)
return 1
