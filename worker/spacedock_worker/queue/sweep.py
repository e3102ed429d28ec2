"""Taking what ended jobs left in Redis before its time is over: records, inputs and results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.retention import DEFAULTS, KEEP_LUA
from spacedock._wire.scripts import atomic
from spacedock._wire.submission import UPLOAD_GRACE_S

_PAGE = 500

_RECORDS = atomic(
    KEEP_LUA
    + f"""
local now = redis.call('TIME')
local seconds, count, bytes = now[1] + now[2] / 1000000, 0, 0
local kept, dead = setting('results', {DEFAULTS.results}), setting('dead', {DEFAULTS.dead})
for _, key in ipairs(KEYS) do
  -- Whatever else somebody has put under such a name is no record.
  local record = redis.call('TYPE', key).ok == 'hash'
  local row = record and redis.call('HMGET', key, 'state', 'submitted', 'result') or {{}}
  local left = redis.call('TTL', key)
  if row[1] and row[1] ~= 'queued' and row[1] ~= 'running' and left >= 0 then
    -- Each is an upper bound of the time since the end: records may be kept for a shorter time than most,
    -- and a job that was cancelled while it waited tells no time of its own. What asked to be kept for longer
    -- than most stays.
    local age = (row[1] == 'dead' and dead or kept) - left
    local total = tonumber(string.match(row[3] or '', '"total":([%d.]+)') or 0)
    age = math.min(age, seconds - (tonumber(row[2]) or 0) - (total or 0))
    if age >= tonumber(ARGV[1]) then
      count = count + 1
      bytes = bytes + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0)
      if ARGV[2] == '0' then
        if redis.call('HEXISTS', key, 'private') == 1 then redis.call('SET', '{keys.SCRUB}', '1') end
        redis.call('DEL', key)
      end
    end
  end
end
return {{count, bytes}}
"""
)
"""Lua: the records of jobs that ended so long ago; a job that waits or runs has no end and is not touched."""

_FILES = atomic(
    KEEP_LUA
    + f"""
local count, bytes, kept = 0, 0, setting('results', {DEFAULTS.results})
for _, key in ipairs(KEYS) do
  local left = redis.call('TTL', key)
  local users = '{keys.PAYLOAD_USERS}' .. string.sub(key, {len(keys.PAYLOAD) + 1})
  if left >= 0 and kept - left >= tonumber(ARGV[1]) and redis.call('EXISTS', users) == 0 then
    -- Whoever has just uploaded the file, or found it there, is about to submit a job that needs it.
    -- A server that forgets by frequency (LFU) knows no idle times: its files wait for their own end.
    local idle = redis.pcall('OBJECT', 'IDLETIME', key)
    if type(idle) == 'number' and idle >= tonumber(ARGV[3]) then
      count = count + 1
      -- Not STRLEN: that would count as a use, and a dry run must change nothing.
      bytes = bytes + redis.call('MEMORY', 'USAGE', key)
      if ARGV[2] == '0' then redis.call('DEL', key) end
    end
  end
end
return {{count, bytes}}
"""
)
"""Lua: the files that no unfinished job needs, and whose last job ended so long ago."""

IDLE_SECONDS = 60
"""How long a file must have lain untouched, even where everything shall go."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many things went, and the bytes that Redis held for them."""

    count: int = 0
    bytes: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(self.count + other.count, self.bytes + other.bytes)


async def sweep_records(redis: Redis, older_than: float, *, dry_run: bool) -> Swept:
    """Remove the records of jobs that ended `older_than` seconds ago; with `dry_run` only count them."""
    script, total = redis.register_script(_RECORDS), Swept()
    async for page in _pages(redis, keys.job("*")):
        total += Swept(*await script(keys=page, args=[older_than, int(dry_run)]))
    return total


async def sweep_files(redis: Redis, older_than: float, *, dry_run: bool) -> Swept:
    """Remove the inputs and results that only such jobs needed; with `dry_run` only count them."""
    script, total = redis.register_script(_FILES), Swept()
    idle = max(IDLE_SECONDS, min(older_than, UPLOAD_GRACE_S))
    async for page in _pages(redis, keys.payload("*")):
        total += Swept(*await script(keys=page, args=[older_than, int(dry_run), idle]))
    return total


async def _pages(redis: Redis, pattern: str) -> AsyncIterator[list[bytes]]:
    """The keys of that pattern, some hundreds at a time: a script holds up the server while it runs."""
    page: dict[bytes, None] = {}
    async for key in redis.scan_iter(match=pattern, count=_PAGE):
        page[key] = None
        if len(page) >= _PAGE:
            yield list(page)
            page.clear()
    if page:
        yield list(page)
