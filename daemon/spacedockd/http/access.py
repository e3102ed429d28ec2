"""Who makes a request, and what he may: scopes, principals, and the route that asks for a scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import HttpVersion11, web

from spacedock._wire.view.tokens import Scope
from spacedockd.http.errors import HttpError

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request: the id and the name of his token, and its scope. The owner has no token's id."""

    id: str
    name: str
    scope: Scope


OWNER = Principal(id="", name="owner", scope=Scope.OPERATE)
"""This daemon's own user: by his token, by the unix socket, or where no token is asked for."""

_PRINCIPAL = web.RequestKey("principal", Principal)
_SCOPE = "scope"


def principal_of(request: web.Request) -> Principal:
    """Who makes the request."""
    return request[_PRINCIPAL]


def whose(request: web.Request) -> str | None:
    """In whose name the request's jobs wait, a lane for each token; None: in the door's own lane."""
    principal = principal_of(request)
    return f"http-{principal.name}" if principal.id else None


def identify(request: web.Request, principal: Principal) -> None:
    """Note who makes the request."""
    request[_PRINCIPAL] = principal


def route(method: str, path: str, handler: Handle, scope: Scope | None) -> web.RouteDef:
    """A route for whoever has the scope (None: for everybody); GET answers HEAD too."""

    async def scoped(request: web.Request) -> web.StreamResponse:
        if scope is not None:
            require(request, scope)
        await _have_it_sent(request)
        return await handler(request)

    setattr(scoped, _SCOPE, scope)
    if method == "GET":
        return web.get(path, scoped, expect_handler=_wait)
    return web.route(method, path, scoped, expect_handler=_wait)


async def _wait(request: web.Request) -> None:
    """Ask for no body yet: who sends it may be refused."""


async def _have_it_sent(request: web.Request) -> None:
    """Ask for the body of a client that waits for that. Raises HttpError where it expects anything else."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise HttpError(417, "expectation", "the only Expect that is known here is 100-continue")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The answer's own bytes are yet to come.
    request.writer.output_size = 0


def is_guarded(handler: object) -> bool:
    """Whether a handler is one of `route`, which no other may be served beside."""
    return hasattr(handler, _SCOPE)


def is_public(handler: object) -> bool:
    """Whether a route is for everybody."""
    return getattr(handler, _SCOPE, Scope.READ) is None


def require(request: web.Request, scope: Scope) -> None:
    """Raise HttpError unless the request's principal has the scope."""
    has = principal_of(request).scope
    if not has.covers(scope):
        raise HttpError(
            403,
            "scope",
            f"this token may {has.value} only, and this needs {scope.value}: "
            f"`spacedock token create NAME --scope {scope.value}` makes one",
        )
