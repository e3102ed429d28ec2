-- A number of the queue's settings, or what counts where no daemon has said one.
need('HGET', SETTINGS, 'results')
local function setting(name, otherwise)
  local told = redis.pcall('HGET', SETTINGS, name)
  local value = tonumber(type(told) == 'string' and told)
  if value and value >= 1 and value <= MAX_KEEP_S then return math.floor(value) end
  return otherwise
end
