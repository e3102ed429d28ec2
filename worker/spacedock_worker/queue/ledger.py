"""The worker's side of a job in Redis: claiming, beginning, renewing, ending; each one atomic script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from redis.asyncio import Redis

from spacedock import keys, wire
from spacedock.events import Event
from spacedock.records import KEEP_RESULT_S, RELEASE_FILES_LUA
from spacedock.request import JobRequest
from spacedock.result import JobResult

LEASE_MS = 9_000
"""How long a claim lasts without a sign of life from its worker."""

RENEW_SECONDS = 3.0

_CLAIM = f"""
local claimed, page, free = {{}}, 100, tonumber(ARGV[3])
for offset = 0, ARGV[2] - 1, page do
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', offset, page)
  for _, id in ipairs(ids) do
    if redis.call('SET', '{keys.IN_PROGRESS}' .. id, ARGV[4], 'NX', 'PX', ARGV[5]) then
      claimed[#claimed + 1] = id
      if #claimed == free then return claimed end
    end
  end
  if #ids < page then break end
end
return claimed
"""

_BEGIN = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'running' then return false end
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[1])
local now = redis.call('TIME')
local row = redis.call('HMGET', KEYS[1], 'request', 'submitted', 'cancel')
return {row[1], row[2], now[1] .. '.' .. string.format('%06d', now[2]), row[3] or ''}
"""

_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if redis.call('HGET', KEYS[2], 'cancel') then return 2 end
return 1
"""

_RELEASE = """
local row = redis.call('HMGET', KEYS[1], 'state', 'worker')
if row[1] ~= 'running' or row[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('DECR', KEYS[2])
return 1
"""

_FINISH = (
    RELEASE_FILES_LUA
    + """
local row = redis.call('HMGET', KEYS[1], 'state', 'request', 'worker')
if row[1] ~= 'running' or row[3] ~= ARGV[6] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'result', ARGV[3])
redis.call('HDEL', KEYS[1], 'message', 'worker', 'cancel')
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[1])
local readable, request = pcall(cjson.decode, row[2])
if readable then release_files(ARGV[1], request, ARGV[4]) end
redis.call('PUBLISH', ARGV[5], ARGV[1])
return 1
"""
)


_CLOSE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('ZREM', KEYS[4], ARGV[3])
end
"""


class Lease(IntEnum):
    """What renewing a lease tells."""

    LOST = 0
    HELD = 1
    CANCEL_ASKED = 2


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that is ours to run: the raw request, seconds spent in the queue, and whether to stop at once."""

    request: bytes
    queued: float
    cancel_asked: bool


class Ledger:
    """Jobs as `worker_id` may change them. Methods raise redis-py's errors; whoever calls may try again."""

    def __init__(self, redis: Redis, worker_id: str) -> None:
        self._redis, self.worker_id = redis, worker_id
        self._claim = redis.register_script(_CLAIM)
        self._begin = redis.register_script(_BEGIN)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)
        self._finish = redis.register_script(_FINISH)
        self._close = redis.register_script(_CLOSE)

    async def claim(self, now_ms: int, read: int, free: int) -> list[str]:
        """Take up to `free` of the `read` oldest jobs that nobody holds; each is ours for LEASE_MS."""
        claimed = await self._claim(keys=[keys.QUEUE], args=[now_ms, read, free, self.worker_id, LEASE_MS])
        return [job_id.decode() for job_id in claimed]

    async def begin(self, job_id: str) -> Begun | None:
        """Mark a claimed job as running; None where it has ended already."""
        row = await self._begin(keys=[keys.job(job_id)], args=[self.worker_id])
        if row is None:
            return None
        request, submitted, now, cancel = row
        return Begun(request, max(0.0, float(now) - float(submitted)), bool(cancel))

    async def renew(self, job_ids: list[str]) -> dict[str, Lease]:
        """Keep our claims, and say this worker lives, in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(keys.worker(self.worker_id), b"1", px=LEASE_MS)
            for job_id in job_ids:
                await self._renew(
                    keys=[keys.arq_in_progress(job_id), keys.job(job_id)],
                    args=[self.worker_id, LEASE_MS],
                    client=pipe,
                )
            answers = await pipe.execute()
        return {job_id: Lease(answer) for job_id, answer in zip(job_ids, answers[1:], strict=True)}

    async def release(self, job_id: str) -> None:
        """Give a running job back, uncounted: the worker is stopping, the job did nothing wrong."""
        await self._release(keys=[keys.job(job_id), keys.arq_retry(job_id)], args=[self.worker_id])

    async def finish(self, result: JobResult, keep_s: int = KEEP_RESULT_S) -> bool:
        """Write a job's result and announce it; False, and nothing written, where it is not ours any more."""
        raw, uploads = wire.encode(result), [keys.payload(ref.sha256) for ref in result.output.files]
        if uploads:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in uploads:
                    pipe.expire(key, keep_s, gt=True)
                await pipe.execute()
        written = await self._finish(
            keys=[keys.job(result.id), keys.QUEUE],
            args=[result.id, result.state.value, raw, keep_s, keys.DONE, self.worker_id],
        )
        return bool(written)

    async def close(self, job_id: str, done: bool) -> None:
        """Give up our claim, never somebody else's; a job that is done leaves arq's books as well."""
        await self._close(
            keys=[
                keys.arq_in_progress(job_id),
                keys.arq_job(job_id),
                keys.arq_retry(job_id),
                keys.QUEUE,
            ],
            args=[self.worker_id, int(done), job_id],
        )

    async def tell(self, event: Event) -> None:
        """Announce progress to whoever watches, and keep the last message for `status`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hset(keys.job(event.job_id), "message", event.message)
            pipe.publish(keys.events(event.job_id), wire.encode(event))
            await pipe.execute()

    async def leave(self) -> None:
        """Say that this worker is gone."""
        await self._redis.delete(keys.worker(self.worker_id))


def readable_request(raw: bytes) -> JobRequest:
    """The request of a job. Raises WireError."""
    return wire.decode(JobRequest, raw)


def job_serializer(value: object) -> bytes:
    """arq's serializer: JSON, never pickle; what JSON cannot say becomes its text."""
    return json.dumps(value, default=str).encode()
