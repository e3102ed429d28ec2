"""The errors that end one step of the chain (each becomes an `Attempt`), and the one that ends none."""

from __future__ import annotations

from collections.abc import Callable

from spacedock.errors import SpacedockError
from spacedock.result import ErrorKind, Stage


class StepError(SpacedockError):
    """A step gave no answer. `stage` says how far it came, `kind` why; the message is for people.

    `ours` says that the message quotes neither the app nor what the engine says of its container: in privacy
    mode it may be told. `host` says that the fault is the host's own, whichever Space is asked, and implies
    `ours`.
    """

    def __init__(
        self, stage: Stage, kind: ErrorKind, message: str, *, ours: bool = False, host: bool = False
    ) -> None:
        self.stage, self.kind, self.ours, self.host = stage, kind, ours or host, host
        super().__init__(message)

    def copy(self, message: str | None = None) -> StepError:
        """The same for another caller, or in other words: an error that is raised twice gathers traces."""
        return StepError(self.stage, self.kind, message or str(self), ours=self.ours, host=self.host)

    def __reduce__(self) -> tuple[Callable[..., StepError], tuple[object, ...], dict[str, object]]:
        # Unpickled, an exception is made again of its message alone.
        return type(self), (self.stage, self.kind, str(self)), self.__dict__


class TryAgainError(StepError):
    """A step failed for a reason that has been put right since: the same may work at a second try."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.stage, error.kind, str(error), ours=error.ours, host=error.host)


class HostBusyError(StepError):
    """This host has no room for the Space now; that is not the Space's fault, and it may have some later."""


class GiveBackError(SpacedockError):
    """Trouble that is ours keeps the job from its result; it goes back to the queue, and runs again later."""
