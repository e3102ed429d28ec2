"""What comes of a job: results without an answer, a result on the wire, and what the log may say (pure)."""

from __future__ import annotations

from contextlib import suppress

from spacedock._wire import wire
from spacedock.request import Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Stage, Timings
from spacedock.states import JobState

_NO_JSON = (ValueError, TypeError, RecursionError)


def stamped(result: JobResult, queued: float, held: float) -> JobResult:
    """The result with the times that only the queue knows: seconds in the queue, and in a worker's hands."""
    times = {"queued": queued, "total": queued + held}
    return result.model_copy(update={"timings": result.timings.model_copy(update=times)})


def on_the_wire(result: JobResult) -> tuple[JobResult, bytes]:
    """The result and its bytes; a failure in its place where the app's answer cannot be written as JSON."""
    try:
        return result, wire.encode(result)
    except _NO_JSON as error:
        with suppress(*_NO_JSON):
            # What is said around the answer, such as an app's message of an error, is repaired.
            wire.encode(result.output)
            return result, wire.encode_repaired(result)
        why = f"the app's answer cannot be written as JSON ({type(error).__name__})"
        failed = ended(result.id, JobState.FAILED, ErrorKind.BAD_OUTPUT, why, result.labels)
        failed = failed.model_copy(update={"timings": result.timings})
        return failed, wire.encode_repaired(failed)


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
