"""Reading what Redis holds of jobs: where they stand and how they ended; and asking them to stop."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from spacedock import keys, wire
from spacedock.connection import answer
from spacedock.errors import JobNotFoundError, WireError
from spacedock.events import JobStatus
from spacedock.result import JobResult
from spacedock.states import JobState

KEEP_RESULT_S = 24 * 3600
"""How long a result, and the files that only it needs, are kept after the end."""

RELEASE_FILES_LUA = f"""
local function release_files(id, digests, keep)
  for digest in string.gmatch(digests or '', '%x+') do
    local users = '{keys.PAYLOAD_USERS}' .. digest
    redis.call('SREM', users, id)
    if redis.call('EXISTS', users) == 0 then redis.call('EXPIRE', '{keys.PAYLOAD}' .. digest, keep) end
  end
end
"""
"""Lua: a job that ended needs its files no longer; those that no other job needs get their last hours."""

_CANCEL = (
    RELEASE_FILES_LUA
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return false end
if state == 'queued' then
  redis.call('HSET', KEYS[1], 'state', 'cancelled', 'result', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  redis.call('ZREM', ARGV[4], ARGV[1])
  redis.call('DEL', KEYS[2], KEYS[3])
  release_files(ARGV[1], redis.call('HGET', KEYS[1], 'files'), ARGV[3])
  redis.call('PUBLISH', ARGV[5], ARGV[1])
  return 'cancelled'
end
if state == 'running' then
  redis.call('HSET', KEYS[1], 'cancel', '1')
  redis.call('PUBLISH', ARGV[6], ARGV[1])
end
return state
"""
)


async def status(redis: Redis, job_id: str) -> JobStatus:
    """Where the job stands. Raises JobNotFoundError."""
    fields = ["state", "submitted", "message"]
    state, submitted, message = await answer(redis.hmget(keys.job(job_id), fields))
    if state is None:
        raise JobNotFoundError(job_id)
    return JobStatus(
        id=job_id,
        state=JobState(state.decode()),
        submitted=float(submitted),
        message=message.decode() if message else "",
    )


async def finished(redis: Redis, job_ids: Sequence[str]) -> list[JobResult]:
    """The results of those jobs that have ended, in the given order.

    Raises JobNotFoundError for the first that does not exist, WireError where a result cannot be read.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.hmget(keys.job(job_id), ["state", "result"])
        rows = await pipe.execute()
    results = []
    for job_id, (state, result) in zip(job_ids, rows, strict=True):
        if state is None:
            raise JobNotFoundError(job_id)
        if result is not None:
            results.append(wire.decode(JobResult, result))
    return results


async def cancel(redis: Redis, job_id: str) -> JobState:
    """Cancel a job: at once where it waits; where it runs, its worker is told. Returns the state after that.

    A job that has ended stays as it is. Raises JobNotFoundError.
    """
    never_ran = JobResult(id=job_id, state=JobState.CANCELLED)
    reply = await redis.register_script(_CANCEL)(
        keys=[keys.job(job_id), keys.arq_job(job_id), keys.arq_retry(job_id)],
        args=[job_id, wire.encode(never_ran), KEEP_RESULT_S, keys.QUEUE, keys.DONE, keys.CANCEL],
    )
    if reply is None:
        raise JobNotFoundError(job_id)
    return JobState(reply.decode())


async def payload(redis: Redis, sha256: str) -> bytes:
    """The bytes of a file. Raises WireError where it is kept no longer."""
    data = await redis.get(keys.payload(sha256))
    if data is None:
        raise WireError(f"file {sha256[:12]} is kept no longer: files live 24 hours after their job ended")
    return bytes(data)
