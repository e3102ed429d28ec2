"""The blocking twin of the client, for batch scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from spacedock._wire.view.board import Board
from spacedock.client import Client
from spacedock.spaces import Spaces

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")


class _Blocking(Generic[C]):
    """Calls the methods of an asynchronous object, its twin, each until it is done."""

    _closed = False

    def __init__(self, twin: C, runner: asyncio.Runner) -> None:
        self._twin, self._runner = twin, runner

    def _each(self, stream: AsyncGenerator[T]) -> Iterator[T]:
        try:
            while (item := self._runner.run(_next(stream))) is not None:
                yield item
        finally:
            # A stream that outlives the client was closed with it.
            if not self._closed:
                self._runner.run(stream.aclose())


def _blocking(
    method: Callable[Concatenate[C, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Blocking[C], P], T]:
    @wraps(method)
    def call(self: _Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._runner.run(method(self._twin, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[C, P], AsyncGenerator[T]],
) -> Callable[Concatenate[_Blocking[C], P], Iterator[T]]:
    @wraps(method)
    def call(self: _Blocking[C], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._each(method(self._twin, *args, **kwargs))

    return call


class SyncSpaces(_Blocking[Spaces]):
    """`Spaces` for code without asyncio: the same methods, each blocking until it is done."""

    list = _blocking(Spaces.list)
    show = _blocking(Spaces.show)
    status = _blocking(Spaces.status)
    endpoints = _blocking(Spaces.endpoints)
    add = _blocking(Spaces.add)
    update = _blocking(Spaces.update)
    remove = _blocking(Spaces.remove)
    search = _blocking(Spaces.search)
    discover = _blocking(Spaces.discover)
    about = _blocking(Spaces.about)
    recommend = _blocking(Spaces.recommend)
    validate = _blocking(Spaces.validate)
    pull = _blocking(Spaces.pull)
    profile = _blocking(Spaces.profile)
    profiles = _blocking(Spaces.profiles)
    logs = _blocking(Spaces.logs)
    lock = _blocking(Spaces.lock)
    export = _blocking(Spaces.export)
    take_in = _blocking(Spaces.take_in)


class SyncBoard(_Blocking[Board]):
    """`Board` for code without asyncio."""

    look = _blocking(Board.look)


class SyncClient(_Blocking[Client]):
    """`Client` for code without asyncio: the same methods, each blocking until it is done.

    Use it as `with SyncClient() as client:`, from one thread. Errors are those of `Client`.
    """

    def __init__(self, url: str | None = None) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._url = url

    def __enter__(self) -> Self:
        try:
            self._twin = self._runner.run(self._open())
        except BaseException:
            self._runner.close()
            raise
        self.spaces = SyncSpaces(self._twin.spaces, self._runner)
        self.board = SyncBoard(self._twin.board, self._runner)
        return self

    async def _open(self) -> Client:
        return await self._stack.enter_async_context(Client(self._url))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()
            self._closed = True

    submit = _blocking(Client.submit)
    submit_many = _blocking(Client.submit_many)
    store = _blocking(Client.store)
    plan = _blocking(Client.plan)
    run = _blocking(Client.run)
    result = _blocking(Client.result)
    results = _iterating(Client.results)
    watch = _iterating(Client.watch)
    events = _iterating(Client.events)
    status = _blocking(Client.status)
    provenance = _blocking(Client.provenance)
    cancel = _blocking(Client.cancel)
    cancel_batch = _blocking(Client.cancel_batch)
    retry = _blocking(Client.retry)
    jobs = _blocking(Client.jobs)
    job_ids = _blocking(Client.job_ids)
    submit_pipeline = _blocking(Client.submit_pipeline)
    run_pipeline = _blocking(Client.run_pipeline)
    pipeline_run = _blocking(Client.pipeline_run)
    batch = _iterating(Client.batch)
    batch_status = _blocking(Client.batch_status)
    batches = _blocking(Client.batches)
    story = _blocking(Client.story)
    last_event = _blocking(Client.last_event)
    hosts = _blocking(Client.hosts)
    pause_host = _blocking(Client.pause_host)
    drain_host = _blocking(Client.drain_host)
    serving = _blocking(Client.serving)
    workers = _blocking(Client.workers)
    tiers = _blocking(Client.tiers)
    cleanup = _blocking(Client.cleanup)
    forget = _blocking(Client.forget)
    fetch = _blocking(Client.fetch)


async def _next(stream: AsyncGenerator[T]) -> T | None:
    return await anext(stream, None)
