"""Noting how each run of a Space went, for its profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.chain import StepContext
from spacedock_worker.profiling.profiles import ProfileStore, Run

_FULL = "no space left on device"


class RunRecorder:
    """Notes runs in a store (None: nowhere); `now` gives seconds since the epoch.

    Numbers alone are noted, never what a job says or is told.
    """

    def __init__(self, store: ProfileStore | None = None, now: Callable[[], float] = time.time) -> None:
        self._store, self._now = store, now

    @contextmanager
    def run(self, space: str, context: StepContext) -> Iterator[None]:
        """Note the run that is in this block by the Space's id; one that is cancelled says nothing."""
        try:
            yield
        except StepError as error:
            if not _is_of_the_host(error):
                self._note(space, context, error.kind.value)
            raise
        self._note(space, context, None)

    def _note(self, space: str, context: StepContext, kind: str | None) -> None:
        if self._store is None:
            return
        run = Run(
            digest=context.digest,
            space=space,
            at=self._now(),
            ok=kind is None,
            kind=kind,
            # A container that was warm, or never answered, took 0.0.
            start_seconds=context.seconds.get("start") or None,
            call_seconds=context.seconds.get("call"),
            peak_memory=context.peak_memory,
        )
        self._store.note(run)


def _is_of_the_host(error: StepError) -> bool:
    """Whether the host had no room left on its disk, which is no Space's fault."""
    preparing = error.stage in (Stage.PULL, Stage.BUILD)
    return (error.kind is ErrorKind.OUT_OF_DISK and preparing) or _FULL in str(error).lower()
