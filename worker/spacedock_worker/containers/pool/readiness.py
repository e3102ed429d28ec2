"""How long a start may take, and waiting until the app in a container answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from spacedock.result import ErrorKind, Stage
from spacedock_worker.background import cancel_all
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.diagnosis import out_of_reach, where
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.profiling.profiles import ProfileStore

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_CONNECT_SECONDS = 10.0
_FIRST_LOOK, _LONGEST_LOOK = 4.0, 15.0
_HIDDEN_SECONDS = 8.0
"""How long an app has its port for itself alone until that is taken to be final."""

_ENOUGH_STARTS = 3
_TIMES_LONGEST = 5.0


WAITING_FOR_ANSWER = "waiting until it answers"


class Connection(Protocol):
    """A connection to the app in a container; it lives as long as the container does."""

    async def aclose(self) -> None:
        """Close it; safe to call twice, never raises."""
        ...


App = TypeVar("App", bound=Connection)
Connect = Callable[[str], Awaitable[App | None]]
"""Connects to the app at a base URL; None while it does not answer (yet).

Raises StepError where it is clear that it never will, such as a kind of app that has nothing to call.
"""


@dataclass(frozen=True, slots=True)
class StartLimit:
    """Seconds from a start to the first answer; `why` says for people what that limit comes from."""

    seconds: float
    why: str = "Raise `start_timeout` for this Space."


class StartLimits:
    """How long the apps of images may take to answer."""

    def __init__(self, settings: ContainerSettings, measures: ProfileStore) -> None:
        self._settings, self._measures = settings, measures
        self._overran: set[str] = set()

    def of(self, spec: ContainerSpec) -> StartLimit:
        """What the Space's entry says; else by what its starts took before; else what the settings say.

        After a start that outlasted its measured limit the next is given the usual time: a model that must be
        downloaded again may need it. What another Space on the same image did counts for nothing: its
        program may be another.
        """
        # A stranger's wish may give its Space more time, never less.
        usual = max(self._settings.start_timeout, spec.asked_start or 0)
        if spec.start_timeout is not None:
            return StartLimit(spec.start_timeout)
        found = self._measures.of(spec.digest, spec.space)
        if found is None or found.start_max is None or found.starts < _ENOUGH_STARTS:
            return StartLimit(usual)
        seconds = max(self._settings.start_least, _TIMES_LONGEST * found.start_max)
        if spec.app in self._overran or seconds >= usual:
            return StartLimit(usual)
        why = (
            f"Its {found.starts} starts before took {found.start_max:.1f} s at most. The next "
            f"start is given {usual:g} s. Set `start_timeout` for this Space if it may take that long."
        )
        return StartLimit(seconds, why)

    def answered(self, spec: ContainerSpec) -> None:
        """A start of the Space was in time."""
        self._overran.discard(spec.app)

    def overran(self, spec: ContainerSpec) -> None:
        """A start of the Space was given up."""
        self._overran.add(spec.app)


async def wait_ready(
    container: RunningContainer,
    connect: Callable[[], Awaitable[App | None]],
    limit: StartLimit,
    port: int,
    tell: Callable[[str], None],
) -> App:
    """Return the connection to the app once it answers at the port; tell meanwhile where it listens instead.

    Raises StepError at stage `ready`: `crashed` or `out_of_memory` as soon as the container has died,
    `start_failed` where the app has its port for itself, `start_timeout` where it does not answer within the
    limit, and what `connect` raises.
    """
    answers = asyncio.create_task(_answers(connect))
    dies = asyncio.create_task(container.wait_dead(Stage.READY))
    hides = asyncio.create_task(_hides(container, port, tell))
    tasks = {answers, dies, hides}
    try:
        await asyncio.wait(tasks, timeout=limit.seconds, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _give_up(answers, dies, hides)
        raise
    if answers.done():
        await cancel_all(dies, hides)
        return await answers
    await _give_up(answers, dies, hides)
    for ended in (dies, hides):
        if not ended.cancelled():
            raise ended.result()
    message = f"the app did not answer within {limit.seconds:g} s of its start. {limit.why}"
    raise StepError(Stage.READY, ErrorKind.START_TIMEOUT, message)


async def _give_up(answers: asyncio.Task[App], *others: asyncio.Task[StepError]) -> None:
    """End all tasks; a connection that came too late is closed."""
    answers.cancel()
    await cancel_all(*others)
    (connection,) = await asyncio.gather(answers, return_exceptions=True)
    if not isinstance(connection, BaseException):
        await connection.aclose()


async def _hides(container: RunningContainer, port: int, tell: Callable[[str], None]) -> StepError:
    """Return once it is sure that the app never answers, as it has its port where nobody reaches it.

    A port elsewhere proves nothing: many apps first start a helper that listens for them alone, such as a
    model server, and their own port comes minutes later. That is told, and waited for.
    """
    now = asyncio.get_running_loop().time
    began, hidden_since, told = now(), None, ""
    pause = _FIRST_LOOK
    while True:
        await asyncio.sleep(pause)
        found = await container.listeners()
        if (said := where(found, port)) != told:
            told = said
            tell(f"{WAITING_FOR_ANSWER}.{said}" if said else WAITING_FOR_ANSWER)
        if not out_of_reach(found, port):
            hidden_since = None
        elif hidden_since is None:
            hidden_since = now()
        elif now() - hidden_since >= _HIDDEN_SECONDS:
            message = f"the app cannot be reached from outside its container.{said}"
            return StepError(Stage.READY, ErrorKind.START_FAILED, message, ours=True)
        pause = min(max(pause, (now() - began) / 4), _LONGEST_LOOK)


async def _answers(connect: Callable[[], Awaitable[App | None]]) -> App:
    pause = _FIRST_PAUSE
    while (connection := await _within_limit(connect)) is None:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return connection


async def _within_limit(connect: Callable[[], Awaitable[App | None]]) -> App | None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await connect()
    except TimeoutError:
        return None
