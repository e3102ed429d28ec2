"""Lanes: whose jobs wait together, and are served in turn with those of others (docs/decisions/0029).

A batch is a lane, and so are the single prompts of one client. Within a lane jobs wait by their target: the
Space that they name. Each target's jobs are a sorted set, by the time from which they may run.
"""

from __future__ import annotations

import re
from enum import StrEnum

from spacedock._wire import keys

WEIGHTS = {"high": 16.0, "normal": 4.0, "low": 1.0}
"""What one second of a lane counts: low has a share of 1 in 21 where all three wait."""

NAME_BYTES = 2000
"""Of a lane or a target: ours have 1,600 at most."""

LANES_LUA = f"""
-- What somebody else has put in the place of a sorted set is taken away.
local function sorted(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
  return key
end
local function waiting_of(lane, target) return '{keys.WAITING}' .. lane .. '|' .. target end
-- A number to reckon with; nil for what somebody else has put there, such as nan and inf.
local function finite(text)
  local number = tonumber(text)
  return number and math.abs(number) < 1e12 and number or nil
end
local function virtual_now()
  local text = redis.pcall('GET', '{keys.VIRTUAL}')
  return type(text) == 'string' and finite(text) or 0
end
local function stands(lane)
  local had = redis.call('ZSCORE', sorted('{keys.LANES}'), lane)
  return had and (finite(had) or virtual_now())
end
-- The time of the oldest job that this script has put there.
local oldest = {{}}
local function enqueue(lane, target, id, due)
  local waiting = waiting_of(lane, target)
  due = tonumber(due)
  if oldest[waiting] and oldest[waiting] <= due then return redis.call('ZADD', waiting, due, id) end
  oldest[waiting] = due
  redis.call('ZADD', sorted(waiting), due, id)
  redis.call('ZADD', sorted('{keys.LANE}' .. lane), 'LT', due, target)
  if not redis.call('ZSCORE', sorted('{keys.LANES}'), lane) then
    -- Jobs are charged before they have run: a lane may turn out to have had less than was thought.
    local start = virtual_now()
    local least = finite(redis.call('ZRANGE', '{keys.LANES}', 0, 0, 'WITHSCORES')[2])
    redis.call('ZADD', '{keys.LANES}', math.min(start, least or start), lane)
  end
end
local function refresh(lane, target)
  local places, head = sorted('{keys.LANE}' .. lane), sorted(waiting_of(lane, target))
  local first = redis.call('ZRANGE', head, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', places, first[2], target)
  else redis.call('ZREM', places, target) end
  if redis.call('ZCARD', places) == 0 then redis.call('ZREM', sorted('{keys.LANES}'), lane) end
end
local function lane_of(lane, target)
  return string.sub(lane or '', 1, {NAME_BYTES}), string.sub(target or '', 1, {NAME_BYTES})
end
local function dequeue(id, lane, target)
  lane, target = lane_of(lane, target)
  redis.call('ZREM', sorted(waiting_of(lane, target)), id)
  refresh(lane, target)
end
sorted('{keys.QUEUE}')
"""
"""Lua: `enqueue` lets a job wait in its lane, `dequeue` takes it out. A new lane starts where others are."""

LANES_NEEDS = (
    f"'TYPE', '{keys.QUEUE}'",
    f"'DEL', '{keys.QUEUE}'",
    f"'TYPE', '{keys.WAITING}0'",
    f"'DEL', '{keys.WAITING}0'",
    f"'DEL', '{keys.LANE}0', '{keys.LANES}'",
    f"'GET', '{keys.VIRTUAL}'",
    f"'ZADD', '{keys.WAITING}0', 0, '0'",
    f"'ZADD', '{keys.LANE}0', 0, '0'",
    f"'ZADD', '{keys.LANES}', 0, '0'",
    f"'ZSCORE', '{keys.LANES}', '0'",
    f"'ZRANGE', '{keys.WAITING}0', 0, 0",
    f"'ZRANGE', '{keys.LANES}', 0, 0",
    f"'ZCARD', '{keys.LANE}0'",
    f"'ZREM', '{keys.WAITING}0', '0'",
    f"'ZREM', '{keys.LANE}0', '0'",
    f"'ZREM', '{keys.LANES}', '0'",
)
"""What these call."""

_ODD = re.compile(r"[^\w.@-]+")
_LANE_CHARS = 100


class Priority(StrEnum):
    """How much of the hosts a lane gets while others wait: shares of 16, 4 and 1."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


def lane(priority: Priority, batch: str | None, client: str) -> str:
    """The lane of a job: its batch's, else the one of its client's single prompts."""
    kind, name = ("batch", batch) if batch else ("client", client)
    return f"{priority.value}:{kind}:{written(name)}"


def written(name: str) -> str:
    """The name of a batch or a client in the form that its lane's name uses."""
    return _ODD.sub("_", name)[:_LANE_CHARS]


def batch_of(lane: str) -> str | None:
    """The id of the batch whose lane that is."""
    _, kind, name = [*lane.split(":", 2), "", ""][:3]
    return name if kind == "batch" else None


def weight(lane: str) -> float:
    """What a second counts in that lane."""
    return WEIGHTS.get(lane.partition(":")[0], WEIGHTS["normal"])
