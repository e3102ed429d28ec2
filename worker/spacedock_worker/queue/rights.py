"""Whether a user of Redis may do all that a worker does: asked before the first job, not found out in it."""

from __future__ import annotations

from redis.asyncio import Redis

from spacedock._wire.scripts import script
from spacedock.events import Event
from spacedock.result import JobResult, Stage
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore

_NOBODY = "0"

_REST = script("rest", __package__)


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
