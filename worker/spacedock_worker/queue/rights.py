"""Whether a user of Redis may do all that a worker does: asked before the first job, not found out in it."""

from __future__ import annotations

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.scripts import atomic
from spacedock.events import Event
from spacedock.result import JobResult, Stage
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore

_NOBODY = "0"

_REST = atomic(
    "return 1",
    f"'SET', '{keys.worker(_NOBODY)}', '1'",
    f"'DEL', '{keys.worker(_NOBODY)}'",
    f"'SET', '{keys.HOST}0', '1'",
    f"'DEL', '{keys.HOST}0', '{keys.SERVES}0'",
    f"'ZADD', '{keys.HOSTS}', 0, '0'",
    "'TIME'",
    f"'ZREMRANGEBYSCORE', '{keys.HOSTS}', 0, 0",
    f"'ZRANGE', '{keys.HOSTS}', 0, 0",
    f"'SADD', '{keys.SERVES}0', '0'",
    f"'EXPIRE', '{keys.SERVES}0', 1",
    f"'SMISMEMBER', '{keys.SERVES}0', '0'",
    f"'SUBSCRIBE', '{keys.WAKE}', '{keys.CANCEL}'",
    f"'BRPOP', '{keys.CONTROL}', '{keys.ASK}', 0",
    f"'HGET', '{keys.CATALOGUE}', '0'",
    f"'HSET', '{keys.CATALOGUE}', '0', '0'",
    f"'HSET', '{keys.CATALOGUE_REPOSITORIES}', '0', '0'",
    f"'SET', '{keys.CATALOGUE_VERSION}', '0'",
    f"'SUBSCRIBE', '{keys.CATALOGUE_CHANGED}'",
    f"'LPUSH', '{keys.reply(_NOBODY)}', '1'",
    f"'EXPIRE', '{keys.reply(_NOBODY)}', 1",
    f"'GET', '{keys.payload(_NOBODY)}'",
    f"'SET', '{keys.payload(_NOBODY)}', '1'",
    "'SCAN', 0",
)
"""What a worker calls outside of the ledger's scripts."""


async def check_rights(redis: Redis) -> None:
    """Try every script on a job that does not exist: each looks at the rights first, and changes nothing.

    Raises redis-py's errors, NoPermissionError where a right is missing.
    """
    await redis.register_script(_REST)()
    store = JobStore(redis, _NOBODY)
    await store.take()
    await store.repair()
    await store.at_work(_NOBODY, False)
    await store.release(_NOBODY)
    await store.tell(Event(job_id=_NOBODY, stage=Stage.PLAN, name="", message=""))
    await store.finish(JobResult(id=_NOBODY, state=JobState.FAILED), b"")
