"""One job in a worker's hands: from its claim to its one result."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import structlog

from spacedock._wire.lanes import weight
from spacedock.errors import WireError
from spacedock.request import JobRequest, own_id
from spacedock.result import ErrorKind, JobResult
from spacedock.states import JobState
from spacedock_worker.errors import GiveBackError, contained, kind_of
from spacedock_worker.queue.choose import InHand
from spacedock_worker.queue.claims import Claimed
from spacedock_worker.queue.give_back import WaitingJob
from spacedock_worker.queue.job_store import MAX_TRIES, JobStore, readable_request
from spacedock_worker.queue.outcome import ended, on_the_wire, stamped, told
from spacedock_worker.queue.patience import OUTAGE_SECONDS, PAUSE_SECONDS, TROUBLE, through_outages
from spacedock_worker.queue.progress import Emit, ProgressPublisher

log = structlog.get_logger()

_LIGHT_BYTES = 2**15
_REMEMBERED, _NEWEST = 1000, 0.3

Handler = Callable[["TakenJob", Emit], Awaitable[JobResult]]
Serve = Callable[[str | None], None]
"""Notes whose container the job uses from now on, or waits for: a Space's name, None for no container."""

AtWork = Callable[[bool], Awaitable[None]]
"""Notes that the job is executed from now on (True) or only waits; a worker's death is charged by it."""


async def unnoted(executed: bool) -> None:
    """Note nothing: no job is charged for what happens."""


@dataclass(frozen=True, slots=True)
class TakenJob:
    """What a handler gets: the job's id, its request, the seconds that it waited in the queue, and its lane.

    A handler that notes nothing `at_work` is given time to end when the worker stops; a death is not charged
    to its job.
    """

    id: str
    request: JobRequest
    queued: float = 0.0
    at_work: AtWork = unnoted
    serve: Serve = lambda _: None
    lane: str = ""


@dataclass(slots=True)
class _Hold:
    """A job that this worker has claimed; `work` is there while its handler runs.

    `named` is the Space that it names (None in privacy mode), `space` whose container it uses. `executed`
    says that its call is under way, `noted` what Redis knows of that; `result` is what is to be written,
    `settled` that Redis has answered to that; `give_up` is when the writing is given up.
    """

    claimed: Claimed
    since: float
    cancelled: bool
    space: str | None = None
    executed: bool = True
    noted: bool = False
    work: asyncio.Task[JobResult] | None = None
    labels: dict[str, str] = field(default_factory=dict)
    named: str | None = None
    result: JobResult | None = None
    settled: bool = False
    give_up: float | None = None


class JobRunner:
    """Runs claimed jobs with a handler and writes what comes of them."""

    def __init__(
        self, store: JobStore, handler: Handler, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._store, self._handler, self._on_change = store, handler, on_change
        self._holds: dict[str, _Hold] = {}
        self._seconds: OrderedDict[str, float] = OrderedDict()
        self._closed = False
        self._reading = asyncio.Lock()

    @property
    def suspects(self) -> int:
        """How many jobs are held that may have killed workers."""
        return sum(hold.claimed.suspect for hold in self._holds.values())

    @property
    def spaces(self) -> list[str]:
        """The Spaces that the jobs in hand name, for the log."""
        return sorted({hold.named for hold in self._holds.values() if hold.named is not None})

    @property
    def in_hand(self) -> InHand:
        """The jobs that are held, by their targets, by the Spaces whose containers they use, and by lane."""
        holds = self._holds.values()
        spaces = Counter(hold.space for hold in holds if hold.space is not None)
        uses = Counter((hold.claimed.lane, hold.space or hold.claimed.target) for hold in holds)
        return InHand(Counter(hold.claimed.target for hold in holds), spaces, uses)

    def waits(self, job_id: str) -> bool:
        """Whether nothing of a job that is held is executed: it can be given back at no loss."""
        hold = self._holds[job_id]
        return hold.result is None and (hold.work is None or not hold.executed)

    @property
    def waiting(self) -> list[WaitingJob]:
        """The jobs that are held and wait for a container."""
        now = monotonic()
        return [
            WaitingJob(job_id, hold.claimed.target, hold.space, now - hold.since)
            for job_id, hold in self._holds.items()
            if hold.space is not None and not hold.cancelled and self.waits(job_id)
        ]

    @property
    def seconds(self) -> Mapping[str, float]:
        """What a job took, start and call, by target: the mean of the last ones."""
        return self._seconds

    def close(self) -> None:
        """Write no more: what a stopped job still brings may come of the stop itself."""
        self._closed = True

    def hold(self, claimed: Claimed, space: str | None = None) -> None:
        """Take a claimed job in hand; `run` or `fail` comes next, and `drop` when all is over.

        `space` is whose container it will use, as far as that is known.
        """
        self._holds[claimed.id] = _Hold(claimed, monotonic(), claimed.cancel_asked, space)

    def drop(self, job_id: str) -> None:
        """Forget a job."""
        del self._holds[job_id]

    def cancel(self, job_id: str) -> None:
        """Stop a job that is held here, at its user's wish; others are not ours and stay untouched."""
        if hold := self._holds.get(job_id):
            hold.cancelled = True
            if hold.work is not None:
                hold.work.cancel()

    def abandon(self, job_id: str) -> None:
        """Stop a job whose lease was lost, unless it is ending anyway: somebody else may run it now."""
        if (hold := self._holds.get(job_id)) and hold.work is not None:
            log.warning("job.lease_lost", job_id=job_id)
            hold.work.cancel()

    async def run(self, job_id: str) -> None:
        """Run a job that is held to its result.

        Raises GiveBackError where the job must run again, redis-py's errors where its result could not be
        written. Only cancellation of the worker itself comes out of it besides.
        """
        hold = self._holds[job_id]
        try:
            request = await self._request(hold.claimed.request)
        except WireError as error:
            result = ended(job_id, JobState.FAILED, ErrorKind.BAD_INPUT, str(error))
        else:
            hold.labels, hold.named = request.labels, _space_of(request)
            result = await self._answered(hold, request)
        await self._write(hold, result)

    async def _request(self, raw: bytes | None) -> JobRequest:
        """Read a request; of the large ones one in each turn of the event loop, as each holds it up."""
        if raw is None or len(raw) <= _LIGHT_BYTES:
            return readable_request(raw)
        async with self._reading:
            await asyncio.sleep(0)
            return readable_request(raw)

    async def fail(self, job_id: str, message: str) -> None:
        """End a job that is held because of a fault that is not its own."""
        await self._write(self._holds[job_id], ended(job_id, JobState.FAILED, ErrorKind.INTERNAL, message))

    async def settle(self, job_id: str) -> None:
        """End a job whose time was up; also one whose result could not be written in that time."""
        hold = self._holds[job_id]
        if not hold.settled:
            late = "the job did not end within its time; submit it again, in smaller parts"
            timeout = ended(job_id, JobState.FAILED, ErrorKind.TIMEOUT, late, hold.labels)
            await self._write(hold, hold.result or timeout)

    async def _answered(self, hold: _Hold, request: JobRequest) -> JobResult:
        """What comes of the job. Its boundary: a fault of ours is its outcome, not the worker's end."""
        try:
            return await self._result_of(hold, request)
        except GiveBackError:
            raise
        except Exception as error:
            log.exception("job.fault", job_id=hold.claimed.id)
            message = f"a fault in Spacedock ({kind_of(error)}); the worker's log has the details"
            return ended(hold.claimed.id, JobState.FAILED, ErrorKind.INTERNAL, message, request.labels)

    async def _result_of(self, hold: _Hold, request: JobRequest) -> JobResult:
        job_id, deaths = hold.claimed.id, hold.claimed.deaths
        if hold.cancelled:
            return ended(job_id, JobState.CANCELLED, labels=request.labels)
        if deaths >= MAX_TRIES:
            why = f"the worker died {deaths} times while it ran this job; see its log, then submit it again"
            return ended(job_id, JobState.DEAD, ErrorKind.WORKER_LOST, why, request.labels)
        at_work = partial(self._at_work, hold)
        if hold.claimed.suspect:
            await at_work(True)
        serve = partial(self._serve, hold)
        queued, lane = hold.claimed.queued, hold.claimed.lane
        return await self._handle(hold, TakenJob(job_id, request, queued, at_work, serve, lane))

    async def _at_work(self, hold: _Hold, executed: bool) -> None:
        hold.executed = executed
        if executed != hold.noted:
            ours = await through_outages(lambda: self._store.at_work(hold.claimed.id, executed))
            if executed and not ours:
                # Somebody else has run it while Redis was away: a call now would be one after its end.
                raise GiveBackError("another worker has taken the job")
            hold.noted = executed
        # A call that begins shows what its container takes.
        self._on_change()

    def _serve(self, hold: _Hold, space: str | None) -> None:
        if hold.space != space:
            hold.space = space
            self._on_change()

    async def _handle(self, hold: _Hold, job: TakenJob) -> JobResult:
        publisher = ProgressPublisher(self._store, job.id)
        hold.work = asyncio.create_task(contained(partial(self._handler, job, publisher.tell)))
        try:
            return await hold.work
        except asyncio.CancelledError:
            if not hold.cancelled:
                raise
            return ended(job.id, JobState.CANCELLED, labels=job.request.labels)
        finally:
            hold.work = None
            await publisher.close()

    async def _write(self, hold: _Hold, result: JobResult) -> None:
        """Write the result, however long Redis is away; a job that nobody could record is run again."""
        hold.result = result
        result, raw = on_the_wire(stamped(result, hold.claimed.queued, monotonic() - hold.since))
        spent = self._spent(hold, result) / weight(hold.claimed.lane)
        if hold.give_up is None:
            hold.give_up = monotonic() + OUTAGE_SECONDS
        while True:
            if self._closed:
                raise GiveBackError("the worker stopped before the result was written")
            try:
                written = await self._store.finish(result, raw, spent)
                break
            except TROUBLE:
                if monotonic() > hold.give_up:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
        hold.settled = True
        log.info("job.ended", job_id=result.id, state=result.state.value, written=written, **told(result))

    def _spent(self, hold: _Hold, result: JobResult) -> float:
        """Seconds that the job took of the host; jobs of the same target are expected to take as long."""
        spent = result.timings.start + result.timings.call or monotonic() - hold.since
        target = hold.claimed.target
        before = self._seconds.pop(target, spent)
        self._seconds[target] = before + _NEWEST * (spent - before)
        if len(self._seconds) > _REMEMBERED:
            self._seconds.popitem(last=False)
        return spent


def _space_of(request: JobRequest) -> str | None:
    """The Space that a request names; nothing in privacy mode, which keeps it out of the log."""
    if request.privacy:
        return None
    return own_id(request.repository) if request.repository else request.space
