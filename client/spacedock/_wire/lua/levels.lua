-- The bytes that the server holds, and those that it may (0: any).
local function levels()
  local told = redis.call('INFO', 'memory')
  local limit = string.match(told, '\nmaxmemory:(%d+)')
  return tonumber(string.match(told, 'used_memory:(%d+)')), tonumber(limit or 0)
end
