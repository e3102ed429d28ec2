"""One job in a worker's hands: from its claim to its one result, or back into the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

import structlog

from spacedock.connection import OUTAGES
from spacedock.errors import WireError
from spacedock.request import JobRequest, Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Stage, Timings
from spacedock.states import JobState
from spacedock_worker.queue.ledger import Begun, Ledger, readable_request
from spacedock_worker.queue.teller import Tell, Teller

log = structlog.get_logger()

MAX_TRIES = 5
"""A job that killed its worker this often is dead."""

OUTAGE_SECONDS = 600.0
_PAUSE_SECONDS = 0.2

Handler = Callable[["TakenJob", Tell], Awaitable[JobResult]]


@dataclass(frozen=True, slots=True)
class TakenJob:
    """What a handler gets: the job's id, its request, and the seconds that it waited in the queue."""

    id: str
    request: JobRequest
    queued: float


class JobRunner:
    """Runs claimed jobs with a handler and writes what comes of them."""

    def __init__(self, ledger: Ledger, handler: Handler) -> None:
        self._ledger, self._handler = ledger, handler
        self._working: dict[str, asyncio.Task[JobResult]] = {}
        self._cancelled: set[str] = set()

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs here, at its user's wish; others are not ours and stay untouched."""
        if work := self._working.get(job_id):
            self._cancelled.add(job_id)
            work.cancel()

    def abandon(self, job_id: str) -> None:
        """Stop a job whose lease was lost, unless it is ending anyway: somebody else may run it now."""
        if work := self._working.get(job_id):
            log.warning("job.lease_lost", job_id=job_id)
            work.cancel()

    async def run(self, job_id: str, job_try: int) -> None:
        """Run one claimed job. Only cancellation of the worker itself comes out of it."""
        begun = await self._ledger.begin(job_id)
        if begun is None:
            return
        started = monotonic()
        result = await self._result_of(job_id, job_try, begun)
        timings = result.timings.model_copy(
            update={"queued": begun.queued, "total": begun.queued + monotonic() - started}
        )
        await self._write(result.model_copy(update={"timings": timings}))

    async def _result_of(self, job_id: str, job_try: int, begun: Begun) -> JobResult:
        if begun.cancel_asked:
            return ended(job_id, JobState.CANCELLED)
        if job_try > MAX_TRIES:
            return ended(
                job_id,
                JobState.DEAD,
                ErrorKind.WORKER_LOST,
                f"the worker died {MAX_TRIES} times while it ran this job; see its log, then submit it again",
            )
        try:
            request = readable_request(begun.request)
        except WireError as error:
            return ended(job_id, JobState.FAILED, ErrorKind.BAD_INPUT, str(error))
        return await self._handle(TakenJob(job_id, request, begun.queued))

    async def _handle(self, job: TakenJob) -> JobResult:
        teller = Teller(self._ledger, job.id)
        work = asyncio.ensure_future(self._handler(job, teller.tell))
        self._working[job.id] = work
        try:
            return await work
        except asyncio.CancelledError:
            if job.id in self._cancelled:
                return ended(job.id, JobState.CANCELLED, labels=job.request.labels)
            await asyncio.shield(self._release(job.id))
            raise
        except Exception as error:
            # The job's boundary: a fault of ours is this job's outcome, not the worker's end.
            log.exception("job.fault", job_id=job.id)
            message = f"a fault in Spacedock ({type(error).__name__}); the worker's log has the details"
            return ended(job.id, JobState.FAILED, ErrorKind.INTERNAL, message, job.request.labels)
        finally:
            del self._working[job.id]
            self._cancelled.discard(job.id)
            await teller.close()

    async def _release(self, job_id: str) -> None:
        try:
            await self._ledger.release(job_id)
        except OUTAGES:
            log.warning("job.release_failed", job_id=job_id)

    async def _write(self, result: JobResult) -> None:
        """Write the result, however long Redis is away; a job that nobody could record is run again."""
        give_up = monotonic() + OUTAGE_SECONDS
        while True:
            try:
                written = await self._ledger.finish(result)
                break
            except OUTAGES:
                if monotonic() > give_up:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
        log.info("job.ended", job_id=result.id, state=result.state.value, written=written, **told(result))


def told(result: JobResult) -> dict[str, object]:
    """What the log may say of a result: who answered and how long it took, never what."""
    by = result.answered_by
    return {
        "answered_by": by.name if by else None,
        "tier": by.tier.value if by else None,
        "attempts": len(result.attempts),
        "seconds": round(result.timings.total, 3),
    }


def ended(
    job_id: str,
    state: JobState,
    kind: ErrorKind | None = None,
    message: str = "",
    labels: dict[str, str] | None = None,
) -> JobResult:
    """A result without an answer; its one attempt says why."""
    error = AttemptError(kind=kind, message=message) if kind else None
    attempts = (Attempt(tier=Tier.AUTO, name="spacedock", stage=Stage.PLAN, error=error),) if error else ()
    return JobResult(id=job_id, state=state, attempts=attempts, labels=labels or {}, timings=Timings())
