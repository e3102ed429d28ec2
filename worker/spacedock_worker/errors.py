"""The errors that end one step of the chain; the chain turns each into an `Attempt`."""

from __future__ import annotations

from spacedock.errors import SpacedockError
from spacedock.result import ErrorKind, Stage


class StepError(SpacedockError):
    """A step gave no answer. `stage` says how far it came, `kind` why; the message is for people.

    `ours` says that the message quotes neither the app nor the engine: in privacy mode it may be told.
    """

    def __init__(self, stage: Stage, kind: ErrorKind, message: str, *, ours: bool = False) -> None:
        self.stage, self.kind, self.ours = stage, kind, ours
        super().__init__(message)


class TryAgainError(StepError):
    """A step failed for a reason that has been put right since: the same may work at a second try."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.stage, error.kind, str(error), ours=error.ours)


class HostBusyError(StepError):
    """This host has no room for the Space now; that is not the Space's fault, and it may have some later."""
