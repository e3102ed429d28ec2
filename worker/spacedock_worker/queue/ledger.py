"""The worker's side of a job in Redis: claiming, renewing, giving back, ending; each one atomic script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock import keys, wire
from spacedock.events import Event
from spacedock.records import (
    END_LUA,
    END_NEEDS,
    FILES_NEEDS,
    KEEP_PRIVATE_S,
    KEEP_RESULT_S,
    RELEASE_FILES_LUA,
)
from spacedock.request import JobRequest
from spacedock.result import JobResult, Stage
from spacedock.scripts import atomic

TROUBLE = (RedisError, OSError)
"""Redis is away or refuses (out of memory, read-only while it fails over): later it may not."""

LEASE_MS = 9_000
"""How long a claim lasts without a sign of life from its worker."""

RENEW_SECONDS = 3.0

_CLAIM = atomic(
    f"""
local now = redis.call('TIME')
-- Jobs of one submission are a microsecond apart, so that the last may seem to come from the future.
local due = now[1] * 1000 + now[2] / 1000 + 1
local seconds = now[1] .. '.' .. string.format('%06d', now[2])
local claimed, page, free = {{}}, 100, tonumber(ARGV[2])
local function waiting(id)
  local job = '{keys.JOB}' .. id
  if not string.find(id, '^[%w_-]+$') or redis.call('TYPE', job).ok ~= 'hash' then return nil end
  local row = redis.call('HMGET', job, 'request', 'submitted', 'cancel', 'state', 'waits')
  if row[4] == 'queued' or row[4] == 'running' then return row end
end
for offset = 0, ARGV[1] - 1, page do
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', due, 'LIMIT', offset, page)
  for _, id in ipairs(ids) do
    if redis.call('SET', '{keys.IN_PROGRESS}' .. id, ARGV[3], 'NX', 'PX', ARGV[4]) then
      local row = waiting(id)
      if row then
        local tries = '{keys.arq_retry("")}' .. id
        -- A job for which nothing was done did not kill its worker: arq counts this try, and not that one.
        if row[5] and tonumber(redis.call('GET', tries) or 0) > 0 then redis.call('DECR', tries) end
        redis.call('HDEL', '{keys.JOB}' .. id, 'waits')
        redis.call('HSET', '{keys.JOB}' .. id, 'state', 'running', 'worker', ARGV[3])
        claimed[#claimed + 1] = {{id, row[1], row[2], row[3]}}
        if #claimed == free then return {{seconds, claimed}} end
      else
        redis.call('ZREM', KEYS[1], id)
        redis.call('DEL', '{keys.IN_PROGRESS}' .. id, '{keys.ARQ_JOB}' .. id, '{keys.arq_retry("")}' .. id)
      end
    end
  end
  if #ids < page then break end
end
return {{seconds, claimed}}
""",
    "'ZRANGEBYSCORE', KEYS[1], '-inf', 0, 'LIMIT', 0, 1",
    "'ZREM', KEYS[1], '0'",
    f"'SET', '{keys.IN_PROGRESS}0', ARGV[3], 'NX', 'PX', ARGV[4]",
    f"'TYPE', '{keys.JOB}0'",
    f"'HMGET', '{keys.JOB}0', 'request'",
    f"'HSET', '{keys.JOB}0', 'state', 'running'",
    f"'HDEL', '{keys.JOB}0', 'waits'",
    f"'GET', '{keys.arq_retry('0')}'",
    f"'DECR', '{keys.arq_retry('0')}'",
    f"'DEL', '{keys.IN_PROGRESS}0', '{keys.ARQ_JOB}0', '{keys.arq_retry('0')}'",
    when_full=False,
)

_OURS = """
local row = redis.call('HMGET', KEYS[1], 'state', 'worker', 'cancel', 'files')
if row[1] ~= 'running' or row[2] ~= ARGV[1] then return 0 end
"""
"""Lua: the fence. `worker` is written by whoever claims the job, in one step with the lease."""

_RENEW = atomic(
    _OURS
    + """
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return row[3] and 2 or 1
"""
)

_LIVE = atomic("return redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])")

_RELEASE = atomic(
    _OURS
    + f"""
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('HDEL', KEYS[1], 'worker')
redis.call('DEL', KEYS[2])
if tonumber(redis.call('GET', KEYS[3]) or 0) > 0 then redis.call('DECR', KEYS[3]) end
redis.call('PUBLISH', '{keys.WAKE}', '1')
return 1
""",
    "'HSET', KEYS[1], 'state', 'queued'",
    "'HDEL', KEYS[1], 'worker'",
    "'DEL', KEYS[2]",
    "'GET', KEYS[3]",
    "'DECR', KEYS[3]",
    f"'PUBLISH', '{keys.WAKE}', '1'",
)

_TELL = atomic(
    _OURS
    + """
redis.call('HSET', KEYS[1], 'message', ARGV[2])
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'waits', '1') else redis.call('HDEL', KEYS[1], 'waits') end
redis.call('PUBLISH', KEYS[2], ARGV[3])
return 1
""",
    "'HSET', KEYS[1], 'message', ''",
    "'HDEL', KEYS[1], 'waits'",
    "'PUBLISH', KEYS[2], ARGV[3]",
)

_FINISH = atomic(
    RELEASE_FILES_LUA
    + END_LUA
    + _OURS
    + f"""
local id = ARGV[2]
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'result', ARGV[4], 'outputs', ARGV[7])
redis.call('HDEL', KEYS[1], 'message', 'worker', 'cancel', 'waits')
local keep = ended(KEYS[1], ARGV[5], ARGV[6])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('ZREM', '{keys.QUEUE}', id)
for n = 5, #KEYS do redis.call('EXPIRE', KEYS[n], keep, 'GT') end
release_files(id, row[4], keep)
redis.call('PUBLISH', '{keys.DONE}', id)
return 1
""",
    "'DEL', KEYS[2], KEYS[3], KEYS[4]",
    f"'ZREM', '{keys.QUEUE}', ARGV[2]",
    f"'PUBLISH', '{keys.DONE}', ARGV[2]",
    *END_NEEDS,
    *FILES_NEEDS,
)


class Lease(IntEnum):
    """What renewing a lease tells."""

    LOST = 0
    HELD = 1
    CANCEL_ASKED = 2


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is ours to run: its raw request, seconds spent in the queue, and whether to stop at once."""

    id: str
    request: bytes
    queued: float
    cancel_asked: bool


class Ledger:
    """Jobs as `worker_id` may change them. Methods raise redis-py's errors; whoever calls may try again."""

    def __init__(self, redis: Redis, worker_id: str) -> None:
        self._redis, self.worker_id = redis, worker_id
        self._claim = redis.register_script(_CLAIM)
        self._live = redis.register_script(_LIVE)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)
        self._tell = redis.register_script(_TELL)
        self._finish = redis.register_script(_FINISH)

    async def claim(self, read: int, free: int) -> list[Claimed]:
        """Take up to `free` of the `read` oldest jobs that nobody holds; each is ours for LEASE_MS.

        What stands in the queue and is no unfinished job is removed from it.
        """
        now, rows = await self._claim(keys=[keys.QUEUE], args=[read, free, self.worker_id, LEASE_MS])
        return [
            Claimed(job_id.decode(), request or b"", _waited(submitted, now), cancel is not None)
            for job_id, request, submitted, cancel in rows
        ]

    async def renew(self, job_ids: list[str]) -> dict[str, Lease]:
        """Keep our claims, and say this worker lives, in one round trip.

        A claim that ran out while Redis was away is ours still where nobody else has taken the job.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            await self._live(keys=[keys.worker(self.worker_id)], args=[LEASE_MS], client=pipe)
            for job_id in job_ids:
                await self._renew(
                    keys=[keys.job(job_id), keys.arq_in_progress(job_id)],
                    args=[self.worker_id, LEASE_MS],
                    client=pipe,
                )
            answers = await pipe.execute()
        return {job_id: Lease(answer) for job_id, answer in zip(job_ids, answers[1:], strict=True)}

    async def release(self, job_id: str) -> bool:
        """Give a running job back, uncounted: it did nothing wrong. False where it is not ours (any more)."""
        released = await self._release(
            keys=[keys.job(job_id), keys.arq_in_progress(job_id), keys.arq_retry(job_id)],
            args=[self.worker_id],
        )
        return bool(released)

    async def finish(self, result: JobResult, raw: bytes) -> bool:
        """Write a job's result (`raw` on the wire), announce it, and take the job off arq's books.

        False, and nothing written, where the job is not ours any more.
        """
        job_id = result.id
        places = [ref.place for ref in result.output.files]
        books = [keys.arq_in_progress(job_id), keys.arq_job(job_id), keys.arq_retry(job_id)]
        written = await self._finish(
            keys=[keys.job(job_id), *books, *map(keys.payload, places)],
            args=[
                self.worker_id,
                job_id,
                result.state.value,
                raw,
                KEEP_RESULT_S,
                KEEP_PRIVATE_S,
                " ".join(places),
            ],
        )
        return bool(written)

    async def tell(self, event: Event) -> None:
        """Announce a job's progress to whoever watches, and keep the last message for `status`."""
        await self._tell(
            keys=[keys.job(event.job_id), keys.events(event.job_id)],
            args=[self.worker_id, event.message, wire.encode(event), int(event.stage is Stage.WAIT)],
        )

    async def leave(self) -> None:
        """Say that this worker is gone."""
        await self._redis.delete(keys.worker(self.worker_id))


def _waited(submitted: bytes | None, now: bytes) -> float:
    """Seconds in the queue; none where somebody else's rubbish stands for the time of submission."""
    try:
        return max(0.0, float(now) - float(submitted or now))
    except ValueError:
        return 0.0


def readable_request(raw: bytes) -> JobRequest:
    """The request of a job. Raises WireError."""
    return wire.decode(JobRequest, raw)


def job_serializer(value: object) -> bytes:
    """arq's serializer: JSON, never pickle; what JSON cannot say becomes its text."""
    return json.dumps(value, default=str).encode()
