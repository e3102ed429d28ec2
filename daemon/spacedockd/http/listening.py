"""Where the door listens: TCP with or without TLS, and a unix socket; and where that is told."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from spacedock.configuration import HTTP_FILE, ConfigError, HttpAddress
from spacedockd.http.errors import HttpError, response
from spacedockd.http.guards import SEALS
from spacedockd.http.settings import FIRST_PORT, HttpLimits, HttpSettings

log = structlog.get_logger()

LEAST_RATE = 16 * 2**10
"""Bytes a second that a client has to send and to read."""

_PORTS = range(FIRST_PORT, FIRST_PORT + 100)
_BACKLOG = 1024
_LINGER_SECONDS = 0.5
_MOST_LINE = 2**17
_SILENT = logging.getLogger("spacedockd.http.silent")
_SILENT.disabled = True
_MOST_FILES = 2**16


def tcp_socket(settings: HttpSettings, remembered: Path | None = None) -> socket.socket:
    """A socket that listens: on the port that is configured, else on the first free one from 7788 on.

    The file `remembered` has the port of last time, which goes first: clients were told of it. Raises
    ConfigError.
    """
    if settings.port or remembered is None:
        return _listening(settings, [settings.port or 0])
    ports = [port for port in _PORTS if f"{port}\n" == _read(remembered)]
    bound = _listening(settings, [*ports, *_PORTS])
    with suppress(OSError):
        remembered.write_text(f"{bound.getsockname()[1]}\n")
    return bound


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _listening(settings: HttpSettings, ports: Sequence[int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    for port in ports:
        try:
            return socket.create_server((settings.host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"http: {settings.host} cannot be listened on: {error.strerror}") from error
            log.warning("http.port_taken", host=settings.host, port=port)
    raise ConfigError(
        f"http: port {ports[0]} of {settings.host} is taken by another program: name a free one by "
        "http.port, or none for the next free one from 7788 on"
    )


def tls_context(settings: HttpSettings) -> ssl.SSLContext | None:
    """The certificate to serve with; None without one. Raises ConfigError."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"http: the certificate {settings.tls_cert} cannot be used: {error}") from error
    return context


def url_of(settings: HttpSettings, bound: socket.socket) -> str:
    """The address that clients of this machine use."""
    host, port = bound.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if settings.tls_cert else 'http'}://{name}:{port}"


def tell(folder: Path, url: str, unix: Path, token: Path) -> Path:
    """Write down where the door is and where its token lies, for commands of this user; returns the file."""
    path, draft = folder / HTTP_FILE, folder / f"{HTTP_FILE}.new"
    draft.write_text(HttpAddress(url=url, socket=unix, token=token).model_dump_json(), encoding="utf-8")
    return draft.replace(path)


async def serve(
    server: web.Server, bound: socket.socket, limits: HttpLimits, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """Have the server take connections there, as many as it may have at a time; more are cut off."""
    loop = asyncio.get_running_loop()

    def connected() -> asyncio.Protocol:
        if len(server.connections) >= limits.connections:
            return _Full()
        return _Connection(
            server,
            limits.body_seconds,
            loop=loop,
            access_log=_SILENT,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,
            max_line_size=_MOST_LINE,
        )

    seconds = limits.idle_seconds if tls else None
    return await loop.create_server(
        connected, sock=bound, ssl=tls, backlog=_BACKLOG, ssl_handshake_timeout=seconds
    )


class _Connection(web.RequestHandler):
    """A connection that answers what is no HTTP as the door answers all; aiohttp would log what came.

    A client that takes less than 16 kB a second of what waits for it is cut off after `seconds`, whatever
    it reads: what is still to be written to it lies in memory.
    """

    def __init__(self, server: web.Server, seconds: float, **options: Any) -> None:
        super().__init__(server, **options)
        self._seconds = seconds
        self._looking: asyncio.TimerHandle | None = None

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


class _Full(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()


def allow_files() -> None:
    """Let this process have as many connections as the system allows, not the 1,024 that are usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
