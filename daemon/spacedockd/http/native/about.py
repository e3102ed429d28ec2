"""`GET /version` and `GET /health`: what answers here, and whether the queue behind it does."""

from __future__ import annotations

from importlib.metadata import version

from aiohttp import web

from spacedock._wire.view.tokens import Scope
from spacedockd.http.access import route
from spacedockd.http.context import DoorContext


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes."""

    async def tell_version(request: web.Request) -> web.Response:
        return web.json_response({"name": "spacedock", "version": version("hf-spacedock")})

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"workers": await context.client.workers()})

    return [
        route("GET", "/version", tell_version, Scope.READ),
        route("GET", "/health", health, Scope.READ),
    ]
