"""Who may speak to the door at all: which Host, Origin and proxy is believed, before any route is reached."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from spacedockd.http.errors import STARTED, HttpError
from spacedockd.http.settings import HttpSettings

SEALS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


async def sealed(request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer the headers that let no browser do more with it than show it (on_response_prepare)."""
    request[STARTED] = True
    response.headers["Server"] = "spacedock"
    for name, value in SEALS.items():
        response.headers.setdefault(name, value)


def is_local_socket(request: web.Request) -> bool:
    """Whether the request came by the unix socket, which only this daemon's user can reach."""
    bound = request.transport.get_extra_info("socket") if request.transport is not None else None
    return bound is not None and bound.family == socket.AF_UNIX


def is_secure(request: web.Request, settings: HttpSettings) -> bool:
    """Whether the client speaks TLS, to us or to a proxy that is trusted."""
    forwarded = request.headers.get("X-Forwarded-Proto") if _is_trusted(request, settings) else None
    return (forwarded or request.scheme) == "https"


def guard(settings: HttpSettings) -> Middleware:
    """Refuse what a web page in this machine's browser, or a name of somebody else's, would send."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_local_socket(request):
            _check_host(request, settings)
            _check_origin(request, settings)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise HttpError(415, "encoded", "a compressed body is not taken: send it as it is")
        if request.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
            raise HttpError(501, "encoded", "a body is taken in chunks or as it is, in no other encoding")
        return await handler(request)

    return guarded


def host_of(request: web.Request, settings: HttpSettings) -> str:
    """The host and port that the client has asked for."""
    forwarded = request.headers.get("X-Forwarded-Host") if _is_trusted(request, settings) else None
    return forwarded or str(request.headers.get("Host", ""))


def base_of(request: web.Request, settings: HttpSettings) -> str:
    """The address at which the client has reached the door, such as https://queue.example."""
    return f"{'https' if is_secure(request, settings) else 'http'}://{host_of(request, settings)}"


def _check_host(request: web.Request, settings: HttpSettings) -> None:
    """A page may have its own name lead to this machine, so only names that are ours are answered."""
    if len(request.headers.getall("Host", ())) != 1:
        raise HttpError(400, "host", "the request needs one Host header")
    name = _name_of(host_of(request, settings))
    if name not in {"localhost", *(one.lower() for one in settings.allowed_hosts)} and not _is_address(name):
        raise HttpError(
            421,
            "host",
            "this host does not answer to that name: add it to http.allowed_hosts in the configuration",
        )


def _check_origin(request: web.Request, settings: HttpSettings) -> None:
    """Only pages that this door has served may call it; other programs send no Origin."""
    ours = base_of(request, settings).lower()
    foreign = any(origin.lower() != ours for origin in request.headers.getall("Origin", ()))
    sites = set(request.headers.getall("Sec-Fetch-Site", ()))
    if foreign or not sites <= {"same-origin", "none"}:
        raise HttpError(403, "origin", "pages of other sites may not call this door")


def _is_trusted(request: web.Request, settings: HttpSettings) -> bool:
    """Whether the request comes from a proxy whose word counts."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if not settings.trusted_proxies or not isinstance(peer, tuple):
        return False
    address = ip_address(peer[0].partition("%")[0])
    return any(address in network for network in settings.trusted_proxies)


_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::\d{1,5})?", re.ASCII)


def _name_of(host: str) -> str:
    """The host without its port, in small letters; "" for what is none."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower().removesuffix(".") if found else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
