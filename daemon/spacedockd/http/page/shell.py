"""The page's own files, which are the same for everybody; what they show they ask the native API for."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from spacedockd.http.access import Handle, route
from spacedockd.http.context import DoorContext

_FOLDER = Path(__file__).with_name("static")
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}": (name, "text/javascript") for name in ("page.js", "parts.js", "try.js")},
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes; they need no token, so that the page itself can say how a browser is let in."""
    return [route("GET", path, _sending(name, kind), None) for path, (name, kind) in _FILES.items()]


def _sending(name: str, kind: str) -> Handle:
    body = (_FOLDER / name).read_bytes()

    async def send(request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY}
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return send
