"""Spacedock's thin client: submit prompts and files, get answers from Spaces on your own machines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacedock.client import Client as Client
    from spacedock.errors import SpacedockError as SpacedockError
    from spacedock.events import BatchStatus as BatchStatus
    from spacedock.events import Event as Event
    from spacedock.events import JobStatus as JobStatus
    from spacedock.files import FileRef as FileRef
    from spacedock.request import Fallback as Fallback
    from spacedock.request import JobRequest as JobRequest
    from spacedock.request import Tier as Tier
    from spacedock.result import AnsweredBy as AnsweredBy
    from spacedock.result import Attempt as Attempt
    from spacedock.result import AttemptError as AttemptError
    from spacedock.result import ErrorKind as ErrorKind
    from spacedock.result import JobResult as JobResult
    from spacedock.result import Output as Output
    from spacedock.result import Stage as Stage
    from spacedock.result import Timings as Timings
    from spacedock.seed import ExecutionError as ExecutionError
    from spacedock.seed import cleanup_spaces_cache as cleanup_spaces_cache
    from spacedock.seed import discover_spaces_by_category as discover_spaces_by_category
    from spacedock.seed import execute_space as execute_space
    from spacedock.seed import get_recommended_spaces as get_recommended_spaces
    from spacedock.seed import validate_space as validate_space
    from spacedock.states import JobState as JobState
    from spacedock.sync import SyncClient as SyncClient

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

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> Any:
    # Each at its first use (PEP 562): the command's --version needs neither redis nor pydantic.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
