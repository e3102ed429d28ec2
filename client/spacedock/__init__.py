"""Spacedock's thin client: submit prompts and files, get answers from Spaces on your own machines."""

from spacedock.client import Client
from spacedock.errors import SpacedockError
from spacedock.events import Event, JobStatus
from spacedock.files import FileRef
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import AnsweredBy, Attempt, AttemptError, ErrorKind, JobResult, Output, Stage, Timings
from spacedock.states import JobState
from spacedock.sync import SyncClient

__all__ = [
    "AnsweredBy",
    "Attempt",
    "AttemptError",
    "Client",
    "ErrorKind",
    "Event",
    "Fallback",
    "FileRef",
    "JobRequest",
    "JobResult",
    "JobState",
    "JobStatus",
    "Output",
    "SpacedockError",
    "Stage",
    "SyncClient",
    "Tier",
    "Timings",
]
