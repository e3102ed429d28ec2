"""Whether a Space that failed deserves a second try on the same host (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError

EARLY_SECONDS = 10.0
_SLOW_PAGE = "When localhost is not accessible, a shareable link must be created"


def ended_by_slowness(error: StepError, seconds: Mapping[str, float]) -> bool:
    """Whether the app may do better the second time, as it ended at its start on a slow host.

    Gradio ends where its own page takes 3 s to come, as while a host starts much at once: it says so, or
    (Gradio 4) ends just after it began to answer.
    """
    if error.kind is not ErrorKind.CRASHED:
        return False
    if error.stage is Stage.READY:
        return _SLOW_PAGE in str(error)
    early = seconds.get("start", 0.0) > 0 and seconds.get("call", EARLY_SECONDS) < EARLY_SECONDS
    return error.stage is Stage.CALL and early
