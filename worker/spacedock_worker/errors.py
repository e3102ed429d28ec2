"""The errors that end one step of the chain (each becomes an `Attempt`), and the one that ends none."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from socket import gethostname
from typing import Self, TypeVar

from spacedock.errors import SpacedockError
from spacedock.result import ErrorKind, Stage

HOST = gethostname()
"""The name of this host, for messages that are read elsewhere."""

_T = TypeVar("_T")


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

    def copy(self, message: str | None = None) -> Self:
        """The same for another caller, or in other words: an error that is raised twice gathers traces."""
        # Classes of it are made of other arguments, and what is decided by the class must stay.
        twin = type(self).__new__(type(self))
        twin.stage, twin.kind, twin.ours, twin.host = self.stage, self.kind, self.ours, self.host
        twin.args = (message or str(self),)
        return twin

    def __reduce__(self) -> tuple[Callable[..., StepError], tuple[object, ...], dict[str, object]]:
        # Unpickled, an exception is made again of its message alone.
        return type(self), (self.stage, self.kind, str(self)), self.__dict__


class UnexplainedError(StepError):
    """The app failed without saying why: its log may tell."""


class TryAgainError(StepError):
    """A step failed for a reason that has been put right since: the same may work at a second try."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.stage, error.kind, str(error), ours=error.ours, host=error.host)


class EngineAwayError(TryAgainError):
    """The Docker Engine of this host, which has answered before, is away: it may be back later."""


class ImageGoneError(StepError):
    """The image was removed after it was found here, and before its container was made: get it again."""


class HostBusyError(StepError):
    """This host has no room for the Space now; that is not the Space's fault, and it may have some later."""


def tells_full_disk(said: str) -> bool:
    """Whether these words tell of a disk without room."""
    return "no space left on device" in said.lower()


def full_disk(stage: Stage, what: str, whose: str = "the Docker Engine") -> HostBusyError:
    """The error for what failed because a disk of this host is full; `whose` files are on it."""
    message = (
        f"{what}: the disk of {whose} on host {HOST} is full. Free some of it, such as by "
        "`spacedock cleanup --images`."
    )
    return HostBusyError(stage, ErrorKind.OUT_OF_DISK, message)


def lacks_descriptors(error: Exception) -> bool:
    """Whether it failed because the worker, or this host, has no file descriptor left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def no_descriptors(stage: Stage, what: str) -> HostBusyError:
    """The error for what failed because there are no file descriptors left."""
    message = f"{what}: too many files are open on this host. Raise the daemon's limit (`ulimit -n`)."
    return HostBusyError(stage, ErrorKind.INTERNAL, message)


class GiveBackError(SpacedockError):
    """Trouble that is ours keeps the job from its result; it goes back to the queue, and runs again later.

    Nobody takes it for `rest` seconds: it would meet the same trouble again.
    """

    def __init__(self, message: str, rest: float = 2.0) -> None:
        self.rest = rest
        super().__init__(message)


class EscapedError(SpacedockError):
    """Something was raised that is no Exception, such as SystemExit; its kind is the message."""


async def contained(call: Callable[[], Awaitable[_T]]) -> _T:
    """What the call returns or raises; what would end its task's owner, or the loop, is an EscapedError.

    A cancellation that somebody asked of this task goes on. It takes the call, not its coroutine: a task
    that is cancelled before it begins would leave that one behind, never awaited.
    """
    try:
        return await call()
    except Exception:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise EscapedError(type(error).__name__) from error
    except BaseException as error:
        raise EscapedError(type(error).__name__) from error


def kind_of(error: Exception) -> str:
    """The error's kind for a message that must not quote it."""
    return str(error) if isinstance(error, EscapedError) else type(error).__name__
