"""A stand-in for engines that cannot be had here: it answers what a test tells it to, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from inspect import isawaitable
from pathlib import Path
from typing import Any

from aiohttp import web

from spacedock_worker.containers.docker.engine import Engine

VERSION = {"Version": "29.0.0", "ApiVersion": "1.53", "MinAPIVersion": "1.44"}


async def _at_once() -> None:
    pass


class EngineDouble:
    """Answers each path, without its version, with its JSON; a whole number is the status of a refusal.

    A callable is asked with the request, may be a coroutine, and may give a response of its own. `asked` are
    the paths as they came; `before` is awaited before each answer.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = {"version": VERSION, **answers}
        self.asked: list[str] = []
        self.before: Callable[[], Awaitable[None]] = _at_once

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.asked.append(request.path_qs)
        await self.before()
        version, _, path = request.path.removeprefix("/").partition("/")
        found = self.answers.get(path or version, 404)
        if callable(found):
            found = found(request)
        if isawaitable(found):
            found = await found
        if isinstance(found, web.Response):
            return found
        if isinstance(found, int):
            return web.json_response({"message": f"refused: {path}"}, status=found)
        return web.json_response(found)


@asynccontextmanager
async def engine_double(
    folder: Path, answers: Mapping[str, Any]
) -> AsyncIterator[tuple[Engine, EngineDouble]]:
    """A stand-in, and the engine that speaks to it."""
    double, app = EngineDouble(answers), web.Application()
    app.router.add_route("*", "/{path:.*}", double.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(folder / "d.sock")).start()
        async with Engine(f"unix://{folder}/d.sock") as engine:
            yield engine, double
    finally:
        await runner.cleanup()
