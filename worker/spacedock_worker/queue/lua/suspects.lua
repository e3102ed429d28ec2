-- Whom a worker's death is charged to (docs/decisions/0017, 0051). A job's record holds `waits` (nothing of it
-- is executed now; set by its claim), `deaths` (the workers that died while they executed it) and `losses`
-- (how often a worker was lost that held it). ACCUSED names the one job that a death of a worker is charged
-- to, all that it executed, or none; while nobody knows why it died, no job is charged.
local ACCUSED_SECONDS = 24 * 3600
local ALL, NONE = '*', '-'
need('GET', ACCUSED .. '0')
need('SET', ACCUSED .. '0', '0', 'EX', 1)
need('DEL', ACCUSED .. '0')
-- None, too, where something that is no string stands in its place.
local function said(key)
  local text = redis.pcall('GET', key)
  return type(text) == 'string' and text or nil
end
local function count(words) return select(2, string.gsub(string.sub(words or '', 1, 4096), '%S+', '')) end
local function suspected(deaths, losses)
  return count(deaths) >= SUSPECT_DEATHS, (tonumber(losses or 0) or 0) >= SUSPECT_LOSSES
end
local function accuse(worker, id)
  redis.call('SET', ACCUSED .. worker, id, 'EX', ACCUSED_SECONDS)
end
local function acquit(worker, id)
  if said(ACCUSED .. worker) == id then redis.call('DEL', ACCUSED .. worker) end
end
