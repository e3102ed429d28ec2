"""What a job tells while it runs, and where it stands: never the prompt, never an output."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from spacedock.result import Stage
from spacedock.states import JobState


class Event(BaseModel):
    """One step of progress: which stage of whom (`name`), and a short message for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str
    stage: Stage
    name: str
    message: str


class JobStatus(BaseModel):
    """Where a job stands now. `submitted` is in seconds since 1970 by the clock of Redis."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    state: JobState
    submitted: float
    message: str = ""
