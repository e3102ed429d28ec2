"""/v1/batches: files of requests that are carried out without their client, whatever dies in between."""

from __future__ import annotations

from aiohttp import web

from spacedock._wire.view.tokens import Scope
from spacedockd.http.access import route
from spacedockd.http.context import DoorContext


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes."""
    batches = context.batches

    async def created(request: web.Request) -> web.Response:
        return web.json_response(await batches.create(await context.intake.json(request)))

    async def listed(request: web.Request) -> web.Response:
        return web.json_response(batches.records.page(request.query))

    async def shown(request: web.Request) -> web.Response:
        return web.json_response(batches.records.get(request.match_info["id"]))

    async def cancelled(request: web.Request) -> web.Response:
        return web.json_response(batches.cancel(request.match_info["id"]))

    return [
        route("POST", "/v1/batches", created, Scope.SUBMIT),
        route("GET", "/v1/batches", listed, Scope.READ),
        route("GET", "/v1/batches/{id}", shown, Scope.READ),
        route("POST", "/v1/batches/{id}/cancel", cancelled, Scope.SUBMIT),
    ]
