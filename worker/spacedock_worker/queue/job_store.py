"""The worker's side of a job in Redis: claiming, renewing, giving back, ending; each one atomic script."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from spacedock._wire import keys, wire
from spacedock._wire.batches import BATCH_LUA, BATCH_NEEDS
from spacedock._wire.jobs import (
    END_LUA,
    END_NEEDS,
    FILES_NEEDS,
    RELEASE_FILES_LUA,
    end_of,
)
from spacedock._wire.lanes import LANES_LUA, LANES_NEEDS
from spacedock._wire.scripts import atomic
from spacedock._wire.stream import ANNOUNCE_LUA, ANNOUNCE_NEEDS
from spacedock.events import Event
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock_worker.queue.blame import SUSPECT_LUA, SUSPECT_NEEDS
from spacedock_worker.queue.choose import Pick
from spacedock_worker.queue.claims import Claimed, View, claimed, named, picked, view
from spacedock_worker.queue.group_commit import GroupCommit
from spacedock_worker.queue.take_lua import REPAIR, TAKE

LEASE_MS = 9_000
"""How long a claim lasts without a sign of life from its worker."""

RENEW_SECONDS = 3.0

_REPAIR_PAGE = 500

_OURS = """
local row = redis.call('HMGET', KEYS[1], 'state', 'worker', 'cancel', 'files', 'deaths', 'losses', 'lane')
if row[1] ~= 'running' or row[2] ~= ARGV[1] then
  -- Whoever asks is alive: if its death was noted down, it was only out of reach.
  local from, to = string.find(row[5] or '', ARGV[1] .. ' ', 1, true)
  if from then
    redis.call('HSET', KEYS[1], 'deaths', string.sub(row[5], 1, from - 1) .. string.sub(row[5], to + 1))
  end
  return 0
end
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

_SETTLE_LUA = f"""
-- The lane pays for what the job took (weighted seconds) in place of what it was charged.
local function settle(id, spent)
  local lane, charged = unpack(redis.call('HMGET', KEYS[1], 'lane', 'charged'))
  lane = lane_of(lane)
  local stood, owed = stands(lane), spent - (finite(charged) or 0)
  if stood then redis.call('ZADD', '{keys.LANES}', stood + owed, lane) end
  redis.call('HDEL', KEYS[1], 'charged')
  redis.call('ZREM', sorted('{keys.HELD}'), id)
  return lane
end
"""

_SETTLE_NEEDS = ("'HMGET', KEYS[1], 'lane'", f"'ZREM', '{keys.HELD}', '0'", *LANES_NEEDS, *BATCH_NEEDS)

_RELEASE = atomic(
    SUSPECT_LUA
    + LANES_LUA
    + BATCH_LUA
    + _SETTLE_LUA
    + _OURS
    + f"""
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('HDEL', KEYS[1], 'worker', 'waits')
redis.call('DEL', KEYS[2], KEYS[3])
acquit(ARGV[1], ARGV[2])
moved(settle(ARGV[2], 0), 'running', 'queued', 1)
local due = redis.call('ZSCORE', '{keys.QUEUE}', ARGV[2])
if not due or tonumber(ARGV[3]) > 0 then
  local now = redis.call('TIME')
  due = now[1] * 1000 + now[2] / 1000 + ARGV[3] * 1000
  redis.call('ZADD', '{keys.QUEUE}', due, ARGV[2])
end
local lane, target = lane_of(unpack(redis.call('HMGET', KEYS[1], 'lane', 'target')))
enqueue(lane, target, ARGV[2], due)
redis.call('PUBLISH', '{keys.WAKE}', '1')
return 1
""",
    "'HSET', KEYS[1], 'state', 'queued'",
    "'HDEL', KEYS[1], 'worker'",
    "'DEL', KEYS[2], KEYS[3]",
    f"'PUBLISH', '{keys.WAKE}', '1'",
    f"'ZADD', '{keys.QUEUE}', 0, ARGV[2]",
    f"'ZSCORE', '{keys.QUEUE}', ARGV[2]",
    *_SETTLE_NEEDS,
    *SUSPECT_NEEDS,
)

_AT_WORK = atomic(
    SUSPECT_LUA
    + _OURS
    + """
local deadly, unlucky = suspected(row[5], row[6])
if ARGV[3] == '1' then
  redis.call('HDEL', KEYS[1], 'waits')
  if deadly then accuse(ARGV[1], ARGV[2]) end
else
  redis.call('HSET', KEYS[1], 'waits', '1')
  if not unlucky then acquit(ARGV[1], ARGV[2]) end
end
return 1
""",
    "'HDEL', KEYS[1], 'waits'",
    "'HSET', KEYS[1], 'waits', '1'",
    *SUSPECT_NEEDS,
)

_TELL = atomic(
    ANNOUNCE_LUA
    + _OURS
    + """
redis.call('HSET', KEYS[1], 'message', ARGV[2])
announce(row[7], ARGV[3])
return 1
""",
    "'HSET', KEYS[1], 'message', ''",
    *ANNOUNCE_NEEDS,
)

_FINISH = atomic(
    RELEASE_FILES_LUA
    + END_LUA
    + SUSPECT_LUA
    + LANES_LUA
    + BATCH_LUA
    + ANNOUNCE_LUA
    + _SETTLE_LUA
    + _OURS
    + f"""
local id = ARGV[2]
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'result', ARGV[4], 'outputs', ARGV[5])
redis.call('HDEL', KEYS[1], 'message', 'worker', 'cancel', 'waits', 'deaths', 'losses')
acquit(ARGV[1], id)
local lane, keep = settle(id, tonumber(ARGV[6])), ended(KEYS[1])
counted_out(lane, 'running', ARGV[3], ARGV[7] == '1', keep)
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('ZREM', '{keys.QUEUE}', id)
for place in string.gmatch(ARGV[5], '%S+') do keep_file(place, keep) end
release_files(id, row[4], keep)
announce(lane, ARGV[8])
redis.call('PUBLISH', '{keys.DONE}', id)
return 1
""",
    "'DEL', KEYS[2], KEYS[3], KEYS[4]",
    f"'ZREM', '{keys.QUEUE}', ARGV[2]",
    f"'PUBLISH', '{keys.DONE}', ARGV[2]",
    *END_NEEDS,
    *FILES_NEEDS,
    *SUSPECT_NEEDS,
    *_SETTLE_NEEDS,
    *ANNOUNCE_NEEDS,
)


class LeaseState(IntEnum):
    """What renewing a lease tells."""

    LOST = 0
    HELD = 1
    CANCEL_ASKED = 2


class JobStore:
    """Jobs as `worker_id` may change them. Methods raise redis-py's errors; whoever calls may try again."""

    def __init__(self, redis: Redis, worker_id: str) -> None:
        self._redis, self.worker_id = redis, worker_id
        self._take = redis.register_script(TAKE)
        self._repair = redis.register_script(REPAIR)
        self._live = redis.register_script(_LIVE)
        self._renew = redis.register_script(_RENEW)
        self._at_work = redis.register_script(_AT_WORK)
        self._release = redis.register_script(_RELEASE)
        self._tell = redis.register_script(_TELL)
        self._finish = GroupCommit(redis, _FINISH)

    async def take(
        self,
        picks: Sequence[Pick] = (),
        suspects: int = 0,
        host_id: str = "",
        elsewhere: Collection[str] = (),
    ) -> tuple[list[Claimed], View]:
        """Take those jobs, as far as they wait still, and tell what waits then; each is ours for LEASE_MS.

        Jobs whose worker is lost wait again first, and what waits and is no unfinished job is removed.
        Jobs that are ours, and whose lease ran out, are among those taken: we may not know of them.
        `suspects` are those of `Claimed.suspect` in hand: while there is one, no other is taken. The targets
        that are for hosts `elsewhere` are not told.
        """
        passed = named(elsewhere)
        args = [self.worker_id, LEASE_MS, host_id, suspects, len(passed), *passed, *picked(picks)]
        now, rows, *lanes = await self._take(args=args)
        return [claimed(now, *row) for row in rows], view(*lanes)

    async def repair(self) -> int:
        """Put the jobs of arq's queue that are in no lane into theirs; returns how many were mended.

        What stands in the queue and is no unfinished job is removed from it.
        """
        start, changed, found = 0, 0, _REPAIR_PAGE
        while found == _REPAIR_PAGE:
            found, dropped, mended = await self._repair(args=[start, _REPAIR_PAGE])
            start, changed = start + found - dropped, changed + dropped + mended
        return changed

    async def renew(self, job_ids: list[str]) -> dict[str, LeaseState]:
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
            answers = await pipe.execute(raise_on_error=False)
        # The record of one job may be anything: that is no trouble of the others.
        if trouble := next((a for a in answers if isinstance(a, Exception) and not _overwritten(a)), None):
            raise trouble
        states = [LeaseState.LOST if isinstance(a, Exception) else LeaseState(a) for a in answers[1:]]
        return dict(zip(job_ids, states, strict=True))

    async def at_work(self, job_id: str, executed: bool) -> None:
        """Note whether the job is being executed now, or only waits: a worker's death is charged by it."""
        with _lost_where_overwritten():
            await self._at_work(keys=[keys.job(job_id)], args=[self.worker_id, job_id, int(executed)])

    async def release(self, job_id: str, rest: float = 0.0) -> bool:
        """Give a running job back, uncharged; nobody takes it for `rest` seconds.

        False where it is not ours (any more).
        """
        with _lost_where_overwritten():
            return bool(
                await self._release(
                    keys=[keys.job(job_id), keys.arq_in_progress(job_id), keys.arq_retry(job_id)],
                    args=[self.worker_id, job_id, rest],
                )
            )
        return False

    async def finish(self, result: JobResult, raw: bytes, spent: float = 0.0) -> bool:
        """Write a job's result (`raw` on the wire), announce it, and take the job off arq's books.

        Its lane pays `spent` weighted seconds for it. False, and nothing written, where the job is not ours
        any more.
        """
        job_id = result.id
        places = [ref.place for ref in result.output.files]
        books = [keys.arq_in_progress(job_id), keys.arq_job(job_id), keys.arq_retry(job_id)]
        args: list[str | bytes | float] = [self.worker_id, job_id, result.state.value, raw, " ".join(places)]
        args += [spent, int(result.succeeded and result.degraded), wire.encode_repaired(end_of(result))]
        with _lost_where_overwritten():
            return bool(
                await self._finish(
                    keys=[keys.job(job_id), *books],
                    args=args,
                    size=len(raw),
                )
            )
        return False

    async def tell(self, event: Event) -> None:
        """Announce a job's progress to whoever watches, and keep the last message for `status`."""
        await self._tell(
            keys=[keys.job(event.job_id)],
            args=[self.worker_id, event.message.encode(errors="replace"), wire.encode_repaired(event)],
        )

    async def leave(self) -> None:
        """Say that this worker is gone."""
        await self._redis.delete(keys.worker(self.worker_id))


def _overwritten(error: Exception) -> bool:
    """Whether something else than a job stands where its record was."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


@contextmanager
def _lost_where_overwritten() -> Iterator[None]:
    """A job whose record is none any more is not ours either: its block ends early."""
    try:
        yield
    except ResponseError as error:
        if not _overwritten(error):
            raise


def readable_request(raw: bytes | None) -> JobRequest:
    """The request of a job; None is one that is too large. Raises WireError."""
    if raw is None:
        raise wire.too_large("job's request", wire.MAX_REQUEST_BYTES)
    return wire.decode_bounded(JobRequest, raw, wire.MAX_REQUEST_BYTES)


def job_serializer(value: object) -> bytes:
    """arq's serializer: JSON, never pickle; what JSON cannot say becomes its text."""
    return json.dumps(value, default=str).encode()
