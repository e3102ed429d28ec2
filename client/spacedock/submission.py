"""Handing jobs over to Redis: each in one atomic script, many in one pipeline."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from spacedock import keys, wire
from spacedock.errors import BadRequestError
from spacedock.files import Payload
from spacedock.request import JobRequest

UPLOAD_GRACE_S = 3600
"""How long an uploaded file waits for the job that needs it."""

_CHUNK = 1000

_SUBMIT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 'known' end
for i = 3, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 0 then return 'missing' end
end
for i = 3, #KEYS, 2 do
  redis.call('SADD', KEYS[i + 1], ARGV[1])
  redis.call('PERSIST', KEYS[i])
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'request', ARGV[2], 'state', 'queued', 'submitted',
  now[1] .. '.' .. string.format('%06d', now[2]))
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('SET', KEYS[2], string.format(ARGV[3], ms))
redis.call('ZADD', ARGV[4], ms, ARGV[1])
redis.call('PUBLISH', ARGV[5], '1')
return 'new'
"""

_ARQ_JOB = json.dumps({"t": None, "f": keys.FUNCTION, "a": [], "k": {}, "et": 0}).replace(
    '"et": 0', '"et": %.0f'
)


def job_id_of(request: JobRequest) -> str:
    """A fresh id; the same id for the same idempotency key, so that a job submitted twice is one job."""
    if request.idempotency_key is None:
        return uuid.uuid4().hex
    return hashlib.sha256(b"key:" + request.idempotency_key.encode()).hexdigest()[:32]


async def upload(redis: Redis, payloads: Iterable[Payload]) -> None:
    """Store the files that Redis does not hold yet; each content once, whatever its names."""
    distinct = {payload.ref.sha256: payload for payload in payloads}
    for digest, payload in distinct.items():
        # One at a time: a pipeline of them would hold every file in memory twice.
        # GT never shortens: a file that unfinished jobs need has no end.
        await redis.expire(keys.payload(digest), UPLOAD_GRACE_S, gt=True)
        if not await redis.exists(keys.payload(digest)):
            await redis.set(keys.payload(digest), payload.data, ex=UPLOAD_GRACE_S)


async def submit(redis: Redis, requests: Sequence[JobRequest]) -> list[str]:
    """Make one job of each request, in order, and return their ids. The files must be uploaded.

    Raises BadRequestError where a file is not there; the jobs before it are submitted.
    """
    script = redis.register_script(_SUBMIT)
    ids = [job_id_of(request) for request in requests]
    for start in range(0, len(ids), _CHUNK):
        chunk = list(zip(ids, requests, strict=True))[start : start + _CHUNK]
        async with redis.pipeline(transaction=False) as pipe:
            for job_id, request in chunk:
                await script(keys=_keys(job_id, request), args=_args(job_id, request), client=pipe)
            answers = await pipe.execute()
        if b"missing" in answers:
            raise BadRequestError(
                "a file of the job is not stored (any more): submit it again with its files"
            )
    return ids


def _keys(job_id: str, request: JobRequest) -> list[str]:
    digests = dict.fromkeys(ref.sha256 for ref in request.payloads)
    files = [key for digest in digests for key in (keys.payload(digest), keys.payload_users(digest))]
    return [keys.job(job_id), keys.arq_job(job_id), *files]


def _args(job_id: str, request: JobRequest) -> list[str | bytes]:
    return [job_id, wire.encode(request), _ARQ_JOB, keys.QUEUE, keys.WAKE]
