"""The status page: its files, and how a browser is let in: `spacedock page` brings a code, then a cookie."""

from __future__ import annotations

import time
from pathlib import Path

from aiohttp import web

from spacedock._wire.view.tokens import CODE, CODE_SECONDS, signed, verified
from spacedockd.http.access import Handle, route
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.guards import is_secure

COOKIE = "spacedock"
_COOKIE_SECONDS = 12 * 3600.0
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


def is_let_in(secret: str, request: web.Request) -> bool:
    """Whether the request has the cookie of a browser that was let in.

    What changes something has to come from a page of ours, which browsers tell by the Origin.
    """
    if not verified(secret, COOKIE, request.cookies.get(COOKIE, ""), time.time()):
        return False
    # The guard has let only our own Origin pass.
    return request.method in ("GET", "HEAD") or "Origin" in request.headers


def routes(context: DoorContext) -> list[web.RouteDef]:
    """The routes; they need no token, so that the page itself can say how a browser is let in."""
    used: dict[str, float] = {}

    async def login(request: web.Request) -> web.Response:
        code, now = request.query.get("code", ""), time.time()
        for old in [one for one, at in used.items() if at < now - 2 * CODE_SECONDS]:
            del used[old]
        if code in used or not verified(context.secret, CODE, code, now):
            raise HttpError(
                403, "code", "this address was used before, or is too old: `spacedock page` again"
            )
        used[code] = now
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            COOKIE,
            signed(context.secret, COOKIE, now + _COOKIE_SECONDS),
            max_age=int(_COOKIE_SECONDS),
            httponly=True,
            samesite="Strict",
            secure=is_secure(request, context.settings),
        )
        return response

    files = [route("GET", path, _sending(name, kind), None) for path, (name, kind) in _FILES.items()]
    return [route("GET", "/login", login, None), *files]


def _sending(name: str, kind: str) -> Handle:
    body = (_FOLDER / name).read_bytes()

    async def send(request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY}
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    return send
