-- include settings
need('TIME')
need('XADD', EVENTS, 'MAXLEN', '~', 1, '0-*', 'batch', '')
need('DEL', EVENTS)
need('EXPIRE', EVENTS, 1)
-- Tell an event of a job in that lane, at its end with its labels. Whatever else somebody has put in the stream's place is taken away.
local function announce(lane, event, labels)
  local now = redis.call('TIME')
  local function add()
    return redis.pcall('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '0-*', 'batch',
      string.match(lane or '', '^%a+:batch:(.+)$') or '', 'at', now[1] + now[2] / 1000000, 'event', event, 'labels', labels or '')
  end
  if type(add()) == 'table' then
    redis.call('DEL', EVENTS)
    add()
  end
  -- After so long without an event the last ones go, too.
  redis.call('EXPIRE', EVENTS, setting('events', KEEP_EVENTS))
end
