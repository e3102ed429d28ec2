"""`GET /healthz`, `GET /readyz` (for everybody) and `GET /metrics` (for a token that may read)."""

from __future__ import annotations

from aiohttp import web

from spacedock._wire.view.tokens import Scope
from spacedockd.http.access import route
from spacedockd.http.context import DoorContext
from spacedockd.http.monitoring.metrics import queue_text, worker_text
from spacedockd.pulse import Readiness, readiness

_UNSTEADY = 503
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes."""
    watched = context.watched

    async def health(request: web.Request) -> web.Response:
        return _told({"worker": watched.pulse.trouble})

    async def ready(request: web.Request) -> web.Response:
        return _told(await readiness(watched.pulse, context.redis))

    async def metrics(request: web.Request) -> web.Response:
        parts = (await worker_text(watched.metrics), await queue_text(context.redis), context.metrics.text())
        return web.Response(body=b"".join(parts), headers={"Content-Type": _TEXT})

    return [
        route("GET", "/healthz", health, None),
        route("GET", "/readyz", ready, None),
        route("GET", "/metrics", metrics, Scope.READ),
    ]


def _told(found: Readiness) -> web.Response:
    """Each part with "ok" or its trouble; 503 where one has any."""
    told = {name: trouble or "ok" for name, trouble in found.items()}
    return web.json_response(told, status=_UNSTEADY if any(found.values()) else 200)
