"""Spacedock's thin client: submit prompts and files, get answers from Spaces on your own machines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacedock.client import Client
    from spacedock.errors import SpacedockError
    from spacedock.events import BatchStatus, Event, JobStatus
    from spacedock.files import FileRef
    from spacedock.request import Fallback, JobRequest, Tier
    from spacedock.result import (
        AnsweredBy,
        Attempt,
        AttemptError,
        ErrorKind,
        JobResult,
        Output,
        Stage,
        Timings,
    )
    from spacedock.seed import (
        ExecutionError,
        cleanup_spaces_cache,
        discover_spaces_by_category,
        execute_space,
        get_recommended_spaces,
        validate_space,
    )
    from spacedock.states import JobState
    from spacedock.sync import SyncClient


__all__ = [
    "AnsweredBy",
    "Attempt",
    "AttemptError",
    "BatchStatus",
    "Client",
    "ErrorKind",
    "Event",
    "ExecutionError",
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
    "cleanup_spaces_cache",
    "discover_spaces_by_category",
    "execute_space",
    "get_recommended_spaces",
    "validate_space",
]

_HOMES = {
    "client": ("Client",),
    "errors": ("SpacedockError",),
    "events": ("BatchStatus", "Event", "JobStatus"),
    "files": ("FileRef",),
    "request": ("Fallback", "JobRequest", "Tier"),
    "result": (
        "AnsweredBy",
        "Attempt",
        "AttemptError",
        "ErrorKind",
        "JobResult",
        "Output",
        "Stage",
        "Timings",
    ),
    "seed": (
        "ExecutionError",
        "cleanup_spaces_cache",
        "discover_spaces_by_category",
        "execute_space",
        "get_recommended_spaces",
        "validate_space",
    ),
    "states": ("JobState",),
    "sync": ("SyncClient",),
}


def __getattr__(name: str) -> Any:
    # Each at its first use (PEP 562): the command's --version needs neither redis nor pydantic.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
