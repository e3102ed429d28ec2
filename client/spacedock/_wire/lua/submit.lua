-- include full
-- include lanes
-- include batches
-- include join
-- include files
need('EXISTS', JOB .. '0', PAYLOAD .. '0', PAYLOAD_USERS .. '0')
need('SADD', PAYLOAD_USERS .. '0', '0')
need('PERSIST', PAYLOAD .. '0')
need('HSET', JOB .. '0', 'state', '')
need('SET', ARQ_JOB .. '0', '')
need('ZADD', QUEUE, 0, '0')
need('PUBLISH', WAKE, '1')
need('ZADD', RUNS, 0, '0')
need('HMGET', JOB .. '0', 'state')
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local submitted = now[1] .. '.' .. string.format('%06d', now[2])
local function missing(digests)
  for _, digest in ipairs(digests) do
    if redis.call('EXISTS', PAYLOAD .. digest) == 0 then return true end
  end
end
local function drop(digests)
  for _, digest in ipairs(digests) do
    local shared = not string.find(digest, '.', 1, true)
    if not shared and redis.call('EXISTS', PAYLOAD_USERS .. digest) == 0 then
      redis.call('DEL', PAYLOAD .. digest)
    end
  end
end
-- Whether the job is a step's, of a pipeline's run that goes on no more.
local function too_late(id)
  local run = string.match(id, '^(.+)-%d+-%d+$')
  if not run then return false end
  local row = redis.call('HMGET', JOB .. run, 'state', 'cancel')
  return row[1] ~= 'running' or row[2]
end
local answers, refused, joined, first, runs = {}, nil, {}, nil, false
for n, job in ipairs(cjson.decode(ARGV[1])) do
  local id, request, digests = job[1], job[2], job[3]
  if redis.call('EXISTS', JOB .. id) == 1 then
    answers[n] = 'known'
    drop(digests)
  elseif too_late(id) then
    answers[n] = 'late'
  elseif missing(digests) then
    answers[n] = 'missing'
  else
    if refused == nil then refused = full() end
    if refused then return 'full' end
    for _, digest in ipairs(digests) do
      local users = PAYLOAD_USERS .. digest
      -- A value of another type at this key must not stop a submission half way.
      if type(redis.pcall('SADD', users, id)) == 'table' then
        redis.call('DEL', users)
        redis.call('SADD', users, id)
      end
      -- What an ended job was promised counts again once this one has ended.
      local left = redis.call('TTL', PAYLOAD .. digest)
      redis.call('PERSIST', PAYLOAD .. digest)
      if left > UPLOAD_GRACE_S then keep_file(digest, left) end
    end
    redis.call('HSET', JOB .. id, 'request', request, 'state', 'queued', 'submitted', submitted,
      'files', table.concat(digests, ' '), 'lane', job[5], 'target', job[6])
    if job[4] then redis.call('HSET', JOB .. id, 'private', '1') end
    if job[7] ~= '' then redis.call('HSET', JOB .. id, 'labels', job[7]) end
    if job[8] > 0 then redis.call('HSET', JOB .. id, 'keep', job[8]) end
    if job[9] then
      -- No worker holds a pipeline's run: whoever looks at it submits its steps.
      redis.call('ZADD', sorted(RUNS), 0, id)
      runs = true
    else
      redis.call('SET', ARQ_JOB .. id, string.format(ARGV[2], ms))
      local due = now[1] * 1000 + (now[2] + n) / 1000
      redis.call('ZADD', QUEUE, due, id)
      enqueue(job[5], job[6], id, due)
      first = first or job[5] .. '|' .. job[6]
    end
    local priority, batch = string.match(job[5], '^(%a+):batch:(.+)$')
    if batch then
      joined[batch] = joined[batch] or {priority = priority}
      table.insert(joined[batch], id)
    end
    answers[n] = 'new'
  end
end
for batch, ids in pairs(joined) do join(batch, ids, submitted, ARGV[3], ARGV[4]) end
-- A worker that is idle takes such a job without asking what waits.
if first then redis.call('PUBLISH', WAKE, first) end
if runs then redis.call('PUBLISH', WAKE, RUNS_DUE) end
return answers
