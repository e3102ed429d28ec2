"""What a job tells while it runs, and where it stands: never the prompt."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from spacedock.result import Stage
from spacedock.states import JobState

PARTIAL_CHARS = 1000


class Event(BaseModel):
    """One step of a job: which stage of whom (`name`), and a short message for people; or its end.

    `id` is the event's number, by which it can be asked for again; `at` is when it was told (seconds since
    1970 by the clock of Redis). `state` is there at the job's end only, and so are its `labels`, but for
    privacy mode; `name` says then who answered. `partial` is the answer's text as far as it is there (its
    end, at most PARTIAL_CHARS); None where it has not grown, and always in privacy mode. An event of no job,
    with `missed`, says how many events before the next one are no longer kept.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str
    stage: Stage | None = None
    name: str = ""
    message: str = ""
    partial: str | None = None
    state: JobState | None = None
    id: int = 0
    at: float = 0.0
    batch: str | None = None
    labels: dict[str, str] = {}
    missed: int = 0


def grown(text: str, partial: str) -> str | None:
    """The text so far, by the `partial` of the next event; None where the two have nothing in common."""
    if len(partial) < PARTIAL_CHARS or not text:
        return partial
    for start in range(max(0, len(text) - len(partial)), len(text)):
        if partial.startswith(text[start:]):
            return text[:start] + partial
    return None


class JobStatus(BaseModel):
    """Where a job stands now. `submitted` is in seconds since 1970 by the clock of Redis.

    `waits_for` says of a queued job what is before it, or which host it waits for. `pipeline` is the name of
    the one that the job is a run of, None for another job, and in privacy mode.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    state: JobState
    submitted: float
    message: str = ""
    waits_for: str = ""
    pipeline: str | None = None


class JobSummary(JobStatus):
    """A job in a list: also its batch's id, or the client that submitted it alone; the Space that it names
    (or ""), and its labels. Of a job in privacy mode neither Space nor labels are told."""

    batch: str | None = None
    client: str | None = None
    space: str = ""
    labels: dict[str, str] = {}


class BatchStatus(BaseModel):
    """A batch: who submitted it, when (seconds since 1970), and how many of its jobs are in each state.

    `degraded` are those among the succeeded whose answer is not of the kind that was asked for; `label` is
    what its submitter calls it, such as the file that its prompts came from.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    label: str = ""
    client: str = ""
    priority: str = ""
    submitted: float
    counts: dict[JobState, int]
    degraded: int = 0

    @property
    def left(self) -> int:
        """How many of its jobs have not ended."""
        return sum(count for state, count in self.counts.items() if not state.terminal)

    @property
    def unanswered(self) -> int:
        """How many of its jobs ended without an answer."""
        return sum(n for state, n in self.counts.items() if state.terminal and state != JobState.SUCCEEDED)
