-- Whether new jobs are refused; a user who may not ask is refused at `maxmemory` itself.
-- include levels
-- New jobs are refused beyond this share of `maxmemory`, higher than that of files because theirs are there;
-- the rest is for results.
local JOBS_SHARE = 0.8
local function full()
  if not redis.acl_check_cmd('INFO', 'memory') then return false end
  local used, limit = levels()
  return limit > 0 and used > limit * JOBS_SHARE
end
