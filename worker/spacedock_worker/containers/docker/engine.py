"""The Docker Engine at arm's length: a deadline for each call and stream, errors translated once."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import structlog
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from spacedock.errors import SpacedockError
from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.dialect import Dialect, UnspeakableError, dialect_of
from spacedock_worker.errors import EngineAwayError, StepError, no_descriptors

log = structlog.get_logger()

CALL_SECONDS = 30.0
"""How long one ordinary call to the engine may take."""

_GREETING_SECONDS = 10.0
_SILENT_SECONDS = 2.0
"""How long an engine is waited for that has left a call without an answer: it may still hang."""

BACK_SECONDS = 120.0
"""How long an engine may be away, as it is while it restarts, before what needs it fails."""

_LOOK_SECONDS = 0.5
_RESTARTS = 2
_REFUSALS = (ErrorKind.PULL_FAILED, ErrorKind.BUILD_FAILED, ErrorKind.START_FAILED)
"""What a step ends with that the engine has said no to."""

_T = TypeVar("_T")

_UNREACHABLE = 900
"""The status that aiodocker makes up where it has no connection."""

_BAD_REQUEST = 400


class EngineRefusedError(SpacedockError):
    """The engine answered, and said no; `status` is HTTP's, or 0 where a stream ended in an error."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(f"Docker Engine: {message}" + (f" (HTTP {status})" if status else ""))

    @property
    def not_found(self) -> bool:
        """Whether the engine has no such thing."""
        return self.status == 404


class Engine:
    """A Docker Engine that may be absent now and there later; used within `async with`.

    `docker_host` is an address such as `unix:///var/run/docker.sock`; None lets aiodocker look where the
    docker command looks (DOCKER_HOST, the current context, the usual sockets). Connects at the first call.
    `was_there` says that it has answered before: such a one comes back.
    `outages` counts how often it could not be reached, or hung up.
    Every stream has connections of its own: an abandoned one cannot use up those of the calls.
    """

    def __init__(self, docker_host: str | None = None, *, was_there: bool = False) -> None:
        self.docker_host = docker_host
        self._calls: Docker | None = None
        self._dialect: Dialect | None = None
        self._silent = False
        self._was_there = self._seen = was_there
        self._left: list[Docker] = []
        self.outages = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        clients, self._left = self._left, []
        if self._calls is not None:
            clients.append(self._calls)
            self._calls = None
        for client in clients:
            await client.close()

    @asynccontextmanager
    async def call(self, stage: Stage, seconds: float = CALL_SECONDS) -> AsyncIterator[Docker]:
        """The client for ordinary calls; the block must end within `seconds`.

        Raises RefusedError where the engine says no, StepError `docker_unavailable` at `stage` where it
        cannot be reached or does not answer in time.
        """
        try:
            async with asyncio.timeout(seconds) as deadline:
                client = await self._greeted(stage)
                with self._translated(stage):
                    yield client
        except TimeoutError as error:
            if not deadline.expired():
                raise
            self._silent = True
            raise _unavailable(stage, f"no answer within {seconds:g} s") from error

    async def dialect(self, stage: Stage) -> Dialect:
        """What the engine is and how it is spoken to. Raises StepError `docker_unavailable`."""
        await self._greeted(stage)
        assert self._dialect is not None
        return self._dialect

    @property
    def version(self) -> str:
        """The engine's version; empty while nobody has spoken to it."""
        return self._dialect.version if self._dialect is not None else ""

    @asynccontextmanager
    async def stream(self, stage: Stage, seconds: float) -> AsyncIterator[Docker]:
        """A client for one stream (pull, build, logs); TimeoutError where the block outlasts `seconds`.

        What that means is the caller's to say. Other errors are those of `call`. Leaving the block hangs up,
        which ends what the engine did for the stream.
        """
        dialect = await self.dialect(stage)
        with self._translated(stage):
            client = _open(self.docker_host)
        client.api_version = dialect.path
        responses: list[aiohttp.ClientResponse] = []
        client.session.trace_configs.append(_collecting(responses))
        try:
            async with asyncio.timeout(seconds):
                with self._translated(stage):
                    yield client
        finally:
            # aiodocker does not close a response that was not read to its end.
            for response in responses:
                response.close()
            await client.close()

    async def through_restart(
        self, work: Callable[[], Awaitable[_T]], on_wait: Callable[[], None] = lambda: None
    ) -> _T:
        """What the work returns, begun again where the engine went away in it and came back, at most twice.

        An engine that was there is given BACK_SECONDS; one that stays away is not waited for again. One that
        stops refuses in many words before it is gone. `on_wait` is called when it is found to be away.

        Raises EngineAwayError where it was there once.
        """
        for restarts in range(_RESTARTS + 1):
            outages, last = self.outages, restarts == _RESTARTS
            try:
                return await work()
            except StepError as error:
                if error.kind is not ErrorKind.DOCKER_UNAVAILABLE and (
                    last or error.kind not in _REFUSALS or not await self.leaving(outages)
                ):
                    raise
                on_wait()
                if last or not await self._back():
                    raise (EngineAwayError(error) if self._seen else error) from None
                log.info("engine.back", stage=error.stage.value)
        raise AssertionError("the last try returns or raises")

    async def leaving(self, outages: int) -> bool:
        """Whether the engine stops, or has been away since it had so many `outages`.

        One that stops takes no new connections, and goes on with those that it has; systemd may keep new ones
        for the next. Calls take new connections from then on.
        """
        try:
            client = _open(self.docker_host)
            try:
                await self._asked(client, Stage.CALL, _GREETING_SECONDS)
                return self.outages != outages
            finally:
                await client.close()
        except (StepError, DockerError, aiohttp.ClientError, OSError):
            if self._calls is not None:
                # Others may be in the middle of a call.
                self._left.append(self._calls)
                self._calls = None
            self._dialect = None
            return True

    async def _back(self) -> bool:
        end = monotonic() + BACK_SECONDS
        while self._was_there:
            self._dialect = None
            with suppress(StepError):
                await self.dialect(Stage.START)
                return True
            if monotonic() > end:
                self._was_there = False
            else:
                await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def _greeted(self, stage: Stage) -> Docker:
        """The client for calls, once the engine has said what it speaks; asked again after it was silent."""
        with self._translated(stage):
            if self._calls is None:
                self._calls = _open(self.docker_host)
            client = self._calls
            if self._dialect is None or self._silent:
                seconds = _SILENT_SECONDS if self._silent else _GREETING_SECONDS
                self._dialect = await self._asked(client, stage, seconds)
                self._silent = False
                client.api_version = self._dialect.path
        return client

    async def _asked(self, client: Docker, stage: Stage, seconds: float) -> Dialect:
        try:
            async with asyncio.timeout(seconds) as deadline:
                found = await client._query_json("version", versioned_api=False)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            self._silent = True
            raise _unavailable(stage, f"no answer within {seconds:g} s") from error
        try:
            dialect = dialect_of(found)
        except UnspeakableError as error:
            raise StepError(stage, ErrorKind.DOCKER_UNAVAILABLE, f"{error}.", host=True) from error
        self._was_there = self._seen = True
        if dialect != self._dialect:
            log.info("engine.found", version=dialect.version, podman=dialect.podman, api=dialect.path)
        return dialect

    @contextmanager
    def _translated(self, stage: Stage) -> Iterator[None]:
        """Turns the errors of aiodocker, aiohttp and the socket into ours, naming the stage."""
        try:
            yield
        except DockerError as error:
            if error.status == _UNREACHABLE:
                raise self._away(stage, error.message) from error
            if error.status == _BAD_REQUEST and "client version" in error.message:
                # Another engine answers at that address now: the next call asks what it speaks.
                raise self._away(stage, error.message) from error
            raise EngineRefusedError(error.status, error.message) from error
        except TimeoutError:
            # A TimeoutError is an OSError too, but the deadline around us is the one to judge it.
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise self._away(stage, str(error) or type(error).__name__) from error

    def _away(self, stage: Stage, why: str) -> StepError:
        """The engine cannot be reached: the one that comes back may be another."""
        # aiodocker keeps of its connection's error the words alone.
        if os.strerror(errno.EMFILE) in why or os.strerror(errno.ENFILE) in why:
            return no_descriptors(stage, "the Docker Engine cannot be reached")
        self._dialect = None
        self.outages += 1
        return _unavailable(stage, why)


def _collecting(responses: list[aiohttp.ClientResponse]) -> aiohttp.TraceConfig:
    """A trace that puts every response of a session into `responses`."""

    async def collect(_: object, __: object, ended: aiohttp.TraceRequestEndParams) -> None:
        responses.append(ended.response)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(collect)
    trace.freeze()
    return trace


def _open(docker_host: str | None) -> Docker:
    try:
        return Docker(url=docker_host)
    except (AssertionError, ValueError) as error:
        # aiodocker asserts that it has an address. It has none if no engine is installed here.
        raise DockerError(_UNREACHABLE, str(error) or "no Docker socket was found") from error


def stopped_by_engine(stage: Stage) -> StepError:
    """The error for a container that ended because its engine stopped."""
    return _unavailable(stage, "it stopped, and the container with it")


def _unavailable(stage: Stage, why: str) -> StepError:
    return StepError(
        stage,
        ErrorKind.DOCKER_UNAVAILABLE,
        f"the Docker Engine cannot be reached: {why}. Is Docker running? Try `docker info`, "
        "and start it or set DOCKER_HOST.",
        host=True,
    )
