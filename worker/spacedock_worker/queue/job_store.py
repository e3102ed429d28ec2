"""The worker's side of a job in Redis: claiming, renewing, giving back, ending; each one atomic script."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum, StrEnum

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from spacedock._wire import keys, wire
from spacedock._wire.jobs import end_of
from spacedock._wire.scripts import registered
from spacedock.events import Event
from spacedock.request import JobRequest
from spacedock.result import JobResult, Stage
from spacedock.states import JobState
from spacedock_worker.queue.choose import Pick
from spacedock_worker.queue.claims import LANES_SEEN, Claimed, View, claimed, named, picked, view
from spacedock_worker.queue.group_commit import GroupCommit

LEASE_MS = 9_000
"""How long a claim lasts without a sign of life from its worker."""

RENEW_SECONDS = 3.0

_REPAIR_PAGE = 500

MAX_TRIES = 5
"""A job that killed its worker this often is dead (docs/decisions/0017)."""

SUSPECT_DEATHS = 2
"""A job that may have killed so many workers is a suspect: a worker runs one of them at a time."""

SUSPECT_LOSSES = 10
"""So is one that was lost so often, whatever it did then: a job may kill a worker before its call as well."""


_NUMBERS = {
    "MAX_TRIES": MAX_TRIES,
    "SUSPECT_DEATHS": SUSPECT_DEATHS,
    "SUSPECT_LOSSES": SUSPECT_LOSSES,
    "LANES_SEEN": LANES_SEEN,
}


class Blame(StrEnum):
    """Which jobs a worker's death is charged to (docs/decisions/0051).

    EXECUTED are those that it executed, or the one of them that is accused; NONE is a death from outside.
    """

    EXECUTED = "*"
    NONE = "-"
    UNKNOWN = ""


class LeaseState(IntEnum):
    """What renewing a lease tells."""

    LOST = 0
    HELD = 1
    CANCEL_ASKED = 2


class JobStore:
    """Jobs as `worker_id` may change them. Methods raise redis-py's errors; whoever calls may try again."""

    def __init__(self, redis: Redis, worker_id: str) -> None:
        self._redis, self.worker_id = redis, worker_id
        self._take = self._script("take")
        self._repair = self._script("repair")
        self._live = self._script("live")
        self._renew = self._script("renew")
        self._at_work = self._script("at_work")
        self._release = self._script("release")
        self._tell = self._script("tell")
        self._lapse = self._script("lapse")
        self._finish = GroupCommit(self._script("finish"))

    def _script(self, name: str) -> AsyncScript:
        return registered(self._redis, name, __package__, **_NUMBERS)

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

    async def at_work(self, job_id: str, executed: bool) -> bool:
        """Note whether the job is being executed now, or only waits: a worker's death is charged by it.

        False where it is not ours (any more).
        """
        with _lost_where_overwritten():
            args: list[str | int] = [self.worker_id, job_id, int(executed)]
            return bool(await self._at_work(keys=[keys.job(job_id)], args=args))
        return False

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

    async def lapse(self, dead: str, blame: Blame = Blame.UNKNOWN) -> None:
        """Let the claims of a worker run out now that is known to be dead: its jobs wait again at once."""
        await self._lapse(args=[dead, blame])

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


_NOBODY = "0"


async def check_rights(redis: Redis) -> None:
    """Try every script on a job that does not exist: each looks at the rights first, and changes nothing.

    Raises redis-py's errors, NoPermissionError where a right is missing.
    """
    await registered(redis, "rest", __package__)()
    store = JobStore(redis, _NOBODY)
    await store.take()
    await store.repair()
    await store.at_work(_NOBODY, False)
    await store.release(_NOBODY)
    await store.lapse(_NOBODY)
    await store.tell(Event(job_id=_NOBODY, stage=Stage.PLAN, name="", message=""))
    await store.finish(JobResult(id=_NOBODY, state=JobState.FAILED), b"")
