"""The HTTP door's server: its middlewares and routes, and the connections that it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog
from aiohttp import web

from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedockd.http import mcp_routes, native
from spacedockd.http.access import is_guarded
from spacedockd.http.authentication import Authenticator
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError, response, told_as_http
from spacedockd.http.events import EventHub
from spacedockd.http.gradio import routes as gradio
from spacedockd.http.guards import SEALS, guard, sealed
from spacedockd.http.intake import LEAST_RATE, Intake
from spacedockd.http.listening import BACKLOG, OPENAI, UPLOADS, DoorOptions, Listening
from spacedockd.http.monitoring import routes as monitoring
from spacedockd.http.monitoring.metrics import DoorMetrics
from spacedockd.http.openai import routes as openai
from spacedockd.http.openai.batch_service import BatchService
from spacedockd.http.page import routes as page
from spacedockd.http.settings import HttpLimits

log = structlog.get_logger()

_STOP_SECONDS = 2.0
_LINGER_SECONDS = 0.5
_MOST_LINE = 2**17
_SILENT = logging.getLogger("spacedockd.http.silent")
_SILENT.disabled = True

Routes = Callable[[DoorContext], list[web.RouteDef]]

ROUTES: tuple[Routes, ...] = (
    page.routes,
    monitoring.routes,
    openai.routes,
    gradio.routes,
    mcp_routes.routes,
    native.routes,
)
"""What is served: a module of routes each; of two that match the same path the first counts."""


async def answer(bound: Sequence[Listening], options: DoorOptions) -> None:
    """Take the connections of these sockets, until cancelled."""
    async with AsyncExitStack() as stack:
        runner = await _runner(stack, options)
        assert runner.server is not None
        for one in bound:
            server = await take(runner.server, one, options.settings.limits)
            stack.callback(server.close)
        await asyncio.Event().wait()


async def _runner(stack: AsyncExitStack, options: DoorOptions) -> web.AppRunner:
    state = options.state_dir
    client = await stack.enter_async_context(Client(options.url, name="http"))
    events = EventHub(client)
    service = BatchService(client, state / OPENAI, options.models_as)
    context = DoorContext(
        client,
        options.settings,
        Intake(state / UPLOADS, options.settings.limits),
        options.token,
        events,
        await stack.enter_async_context(service),
        options.watched,
        await stack.enter_async_context(connect(options.url)),
        DoorMetrics(),
        state,
        options.models_as,
    )
    runner = web.AppRunner(application(context), handler_cancellation=True, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    # Before the cleanup, which waits for answers: those without an end are told to end.
    stack.callback(events.close)
    stack.callback(context.closing.set)
    return runner


def application(context: DoorContext) -> web.Application:
    """The door as an application: errors told, then guarded, then authenticated, then routed."""
    authenticator = Authenticator(context.settings, context.secret, context.client.tokens)
    app = web.Application(
        middlewares=[
            context.metrics.middleware(),
            told_as_http,
            guard(context.settings),
            authenticator.middleware(),
        ],
        client_max_size=context.settings.limits.body,
    )
    app.on_response_prepare.append(sealed)
    for routes in ROUTES:
        app.add_routes(routes(context))
    for one in app.router.routes():
        if not is_guarded(one.handler):
            raise ValueError(f"the route {one} asks for no scope: make it with access.route")
    return app


async def take(server: web.Server, bound: Listening, limits: HttpLimits) -> asyncio.Server:
    """Have the server take connections there, as many as it may have at a time; more are cut off."""
    loop = asyncio.get_running_loop()

    def connected() -> asyncio.Protocol:
        return _Connection(
            server,
            limits,
            loop=loop,
            access_log=_SILENT,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,
            max_line_size=_MOST_LINE,
        )

    seconds = limits.idle_seconds if bound.tls else None
    return await loop.create_server(
        connected, sock=bound.socket, ssl=bound.tls, backlog=BACKLOG, ssl_handshake_timeout=seconds
    )


class _Connection(web.RequestHandler):
    """A connection that answers what is no HTTP as the door answers all; aiohttp would log what came.

    One that is too many is closed at once. A client that takes less than 16 kB a second of what waits for it
    is cut off after `body_seconds`, whatever it reads: what is still to be written to it lies in memory.
    """

    def __init__(self, server: web.Server, limits: HttpLimits, **options: Any) -> None:
        super().__init__(server, **options)
        self._server, self._most, self._seconds = server, limits.connections, limits.body_seconds
        self._looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read, if there is room; counted here, as many may be taken before the first is made."""
        if len(self._server.connections) >= self._most:
            transport.close()
        else:
            super().connection_made(transport)

    def pause_writing(self) -> None:
        """See from now on whether the client reads."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """The client has read."""
        self._rest()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._rest()
        super().connection_lost(exc)

    def _rest(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def _look(self, before: int | None = None) -> None:
        if self.transport is None:
            return
        left = self.transport.get_write_buffer_size()
        if before is not None and before - left < self._seconds * LEAST_RATE:
            log.warning("http.cut_off", code="too_slow", left=left)
            # Closing would wait for the client.
            self.transport.abort()
        else:
            self._looking = asyncio.get_running_loop().call_later(self._seconds, self._look, left)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that cannot be read."""
        answer = response(HttpError(status, "not_http", "the request cannot be read as HTTP, or is too long"))
        answer.headers.update(SEALS)
        answer.force_close()
        return answer
