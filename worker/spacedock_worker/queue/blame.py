"""Whom a worker's death is charged to: the rules, and the Lua that keeps them (docs/decisions/0017).

The job's record holds `waits` (nothing of it is executed now; set by its claim), `deaths` (the workers that
died while they executed it) and `losses` (how often a worker was lost that held it). `keys.accused(worker)`
names the one job that a death of that worker is charged to, if it is known: whoever ends a worker that hangs
in a job sets it before.
"""

from __future__ import annotations

from spacedock._wire import keys

MAX_TRIES = 5
"""A job that killed its worker this often is dead."""

SUSPECT_DEATHS = 2
"""A job that may have killed so many workers is a suspect: a worker runs one of them at a time."""

SUSPECT_LOSSES = 10
"""So is one that was lost so often, whatever it did then: a job may kill a worker before its call as well."""

_ACCUSED_SECONDS = 24 * 3600

SUSPECT_LUA = f"""
-- None, too, where something that is no string stands in its place.
local function said(key)
  local text = redis.pcall('GET', key)
  return type(text) == 'string' and text or nil
end
local function count(words) return select(2, string.gsub(string.sub(words or '', 1, 4096), '%S+', '')) end
local function suspected(deaths, losses)
  return count(deaths) >= {SUSPECT_DEATHS}, (tonumber(losses or 0) or 0) >= {SUSPECT_LOSSES}
end
local function accuse(worker, id)
  redis.call('SET', '{keys.ACCUSED}' .. worker, id, 'EX', {_ACCUSED_SECONDS})
end
local function acquit(worker, id)
  if said('{keys.ACCUSED}' .. worker) == id then redis.call('DEL', '{keys.ACCUSED}' .. worker) end
end
"""

SUSPECT_NEEDS = (
    f"'GET', '{keys.ACCUSED}0'",
    f"'SET', '{keys.ACCUSED}0', '0', 'EX', 1",
    f"'DEL', '{keys.ACCUSED}0'",
)
"""What these call."""

LOST_LUA = f"""
-- The job (its row as claimed) was held by a worker that is lost; returns for how long it rests now (ms).
local function lost(id, holder, row)
  local job, accused = '{keys.JOB}' .. id, said('{keys.ACCUSED}' .. holder)
  redis.call('HSET', job, 'state', 'queued')
  redis.call('HDEL', job, 'worker', 'waits')
  redis.call('HSET', job, 'losses', (tonumber(row[8] or 0) or 0) + 1)
  local charged = not row[5]
  if accused then charged = accused == id end
  if not charged then return 0 end
  local deaths = (row[7] or '') .. holder .. ' '
  redis.call('HSET', job, 'deaths', deaths)
  local times = count(deaths)
  -- What kills workers for a while, and is not the job, has ended when it runs again.
  if times < {SUSPECT_DEATHS} or times >= {MAX_TRIES} then return 0 end
  return 1000 * 2 ^ (times - 1)
end
"""
