"""`/mcp`: the MCP server over streamable HTTP; the SDK speaks ASGI, and is loaded at the first request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from spacedock._wire.view.tokens import Scope
from spacedockd.http.access import principal_of, route
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError

MAX_BODY = 16 * 2**20
"""Bytes of one message: files in it travel in base64."""

_MOST_SESSIONS = 1000
_END_SECONDS = 10.0

AsgiApp = Callable[
    [dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes."""
    mcp = McpRoutes(context)
    return [route(method, "/mcp", mcp.answer, Scope.SUBMIT) for method in ("GET", "POST", "DELETE")]


class McpRoutes:
    """Hands requests to the SDK, whose sessions end with the door."""

    def __init__(self, context: DoorContext) -> None:
        self._context = context
        self._sessions: asyncio.Task[None] | None = None
        self._app: asyncio.Future[AsgiApp] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request. Raises HttpError."""
        body = await self._context.intake.body(request, MAX_BODY)
        app, exchange = await self._opened(), Exchange(request, body)
        answering = asyncio.ensure_future(app(_scope(request), exchange.receive, exchange.send))
        try:
            await asyncio.shield(answering)
        except asyncio.CancelledError:
            # To the SDK a client that hangs up is a message, on which it decides what that ends.
            exchange.gone.set()
            await asyncio.wait([answering], timeout=_END_SECONDS)
            answering.cancel()
            raise
        return exchange.response

    async def _opened(self) -> AsgiApp:
        if self._app is None or (self._app.done() and self._app.exception()):
            self._app = asyncio.get_running_loop().create_future()
            self._sessions = asyncio.create_task(self._serve(self._app), name="mcp")
        return await asyncio.shield(self._app)

    async def _serve(self, opened: asyncio.Future[AsgiApp]) -> None:
        """Keep the SDK's sessions until the door closes: it wants them begun and ended in one task."""
        try:
            manager = await asyncio.to_thread(self._manager)
        except ModuleNotFoundError as error:
            message = (
                f"the package {error.name} is missing: install it with `pip install 'hf-spacedock[mcp]'`"
            )
            opened.set_exception(HttpError(501, "no_mcp", message))
            return
        async with manager.run():
            opened.set_result(manager.handle_request)
            await self._context.closing.wait()

    def _manager(self) -> Any:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        from spacedock.mcp.running import Limits
        from spacedock.mcp.server import make_server

        server = make_server(self._context.client, Limits(closing=self._context.closing))
        return StreamableHTTPSessionManager(
            server, max_request_body_size=MAX_BODY, max_sessions=_MOST_SESSIONS
        )


class Exchange:
    """A request and its response as ASGI has them."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self._request, self._body = request, [body]
        self.gone = asyncio.Event()
        self.response = web.StreamResponse(status=500)

    async def receive(self) -> dict[str, Any]:
        """The body; then that the client has hung up."""
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """The response's head, or a part of its body; nothing where the client has hung up."""
        with suppress(ConnectionError):
            if not self.gone.is_set():
                await self._send(message)

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.response = web.StreamResponse(status=message["status"])
            for name, value in message.get("headers", ()):
                self.response.headers[name.decode("latin-1")] = value.decode("latin-1")
            await self.response.prepare(self._request)
            return
        if body := message.get("body"):
            await self.response.write(body)
        if not message.get("more_body"):
            await self.response.write_eof()


def _scope(request: web.Request) -> dict[str, Any]:
    """The request in ASGI's words; a session of MCP belongs to the token that began it."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    principal = principal_of(request)
    token = AccessToken(token="", client_id=principal.id or principal.name, scopes=[principal.scope.value])
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "user": AuthenticatedUser(token),
    }
