"""The errors that end one step of the chain; the chain turns each into an `Attempt`."""

from __future__ import annotations

from spacedock.errors import SpacedockError
from spacedock.result import ErrorKind, Stage


class StepError(SpacedockError):
    """A step gave no answer. `stage` says how far it came, `kind` why; the message is for people."""

    def __init__(self, stage: Stage, kind: ErrorKind, message: str) -> None:
        self.stage, self.kind = stage, kind
        super().__init__(message)


class TryAgainError(StepError):
    """A step failed for a reason that has been put right since: the same may work at a second try."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.stage, error.kind, str(error))
