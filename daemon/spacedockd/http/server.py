"""The HTTP door's server: its middlewares and routes, listening as long as the daemon keeps it up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType

import structlog
from aiohttp import web

from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedockd import paths
from spacedockd.http import listening, mcp_routes, native
from spacedockd.http.access import is_guarded
from spacedockd.http.authentication import Authenticator, owner_token
from spacedockd.http.context import DoorContext, Watched
from spacedockd.http.errors import told_as_http
from spacedockd.http.events import EventHub
from spacedockd.http.gradio import routes as gradio
from spacedockd.http.guards import guard, sealed
from spacedockd.http.intake import Intake
from spacedockd.http.monitoring import routes as monitoring
from spacedockd.http.monitoring.metrics import Monitoring
from spacedockd.http.openai import routes as openai
from spacedockd.http.openai.batch_service import BatchService
from spacedockd.http.page import routes as page
from spacedockd.http.settings import HttpSettings
from spacedockd.pulse import Pulse

log = structlog.get_logger()

TOKEN, _PORT = "http-token", "http-port"
_STOP_SECONDS = 2.0

NO_ALIASES: Mapping[str, str] = MappingProxyType({})

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


class HttpServer:
    """Serves HTTP on TCP and on a unix socket, towards the queue at `url`; the daemon keeps it up."""

    def __init__(
        self,
        settings: HttpSettings,
        url: str,
        state_dir: Path,
        runtime_dir: Path,
        models_as: Mapping[str, str] = NO_ALIASES,
        watched: Watched | None = None,
    ) -> None:
        self._watched = watched or Watched(Pulse(), runtime_dir / "nobody.sock")
        self._settings, self._url, self._models_as = settings, url, models_as
        self._state_dir, self._runtime_dir = state_dir, runtime_dir
        self._unix = settings.socket or runtime_dir / "http.sock"
        self._running: AsyncExitStack | None = None
        self._over = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises SpacedockError, and ConfigError where the port is taken."""
        self._over.clear()
        async with AsyncExitStack() as stack:
            await self._serve(stack)
            self._running = stack.pop_all()

    async def ended(self) -> object:
        """Return when it was stopped: it does not end by itself."""
        return await self._over.wait()

    async def stop(self) -> None:
        """Take no more connections, and end those that are open soon. Twice is safe."""
        running, self._running = self._running, None
        if running is not None:
            await running.aclose()
        self._over.set()

    def check(self, settings: HttpSettings) -> None:
        """See that it could be served so, by its certificate and address. Raises ConfigError."""
        listening.tls_context(settings)
        if (settings.host, settings.port) != (self._settings.host, self._settings.port):
            listening.tcp_socket(settings).close()

    async def renew(self, settings: HttpSettings, models_as: Mapping[str, str]) -> None:
        """End, for whoever keeps it alive to start it again by these settings."""
        self._settings, self._models_as = settings, models_as
        self._unix = settings.socket or self._runtime_dir / "http.sock"
        await self.stop()

    async def _serve(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        listening.allow_files()
        tls = listening.tls_context(settings)
        tcp = stack.enter_context(listening.tcp_socket(settings, self._state_dir / _PORT))
        try:
            unix = stack.enter_context(paths.private_socket(self._unix))
        except OSError as error:
            raise paths.unusable_socket(self._unix, error) from error
        stack.callback(self._unix.unlink, missing_ok=True)
        runner = await self._runner(stack)
        assert runner.server is not None
        for bound, secured in ((tcp, tls), (unix, None)):
            server = await listening.serve(runner.server, bound, settings.limits, secured)
            stack.callback(server.close)
        url = listening.url_of(settings, tcp)
        told = listening.tell(self._runtime_dir, url, self._unix, self._state_dir / TOKEN)
        stack.callback(told.unlink, missing_ok=True)
        log.info("http.listening", url=url, socket=str(self._unix), token=settings.token)

    async def _runner(self, stack: AsyncExitStack) -> web.AppRunner:
        limits = self._settings.limits
        token = owner_token(self._state_dir / TOKEN)
        client = await stack.enter_async_context(Client(self._url, name="http"))
        intake = Intake(self._state_dir / "http-uploads", limits)
        events = EventHub(client)
        service = BatchService(client, self._state_dir / "openai", self._models_as)
        batches = await stack.enter_async_context(service)
        monitor = Monitoring(await stack.enter_async_context(connect(self._url)))
        context = DoorContext(
            client,
            self._settings,
            intake,
            token,
            events,
            batches,
            self._watched,
            monitor,
            self._state_dir,
            self._models_as,
        )
        runner = web.AppRunner(
            application(context), handler_cancellation=True, shutdown_timeout=_STOP_SECONDS
        )
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
            context.monitor.door.middleware(),
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
