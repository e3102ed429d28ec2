"""Where the door listens, and where that is told; what answers is loaded for the first connection."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import secrets
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

import structlog

from spacedock._wire.view.tokens import PREFIX
from spacedock.configuration import HTTP_FILE, ConfigError, HttpAddress
from spacedock.errors import SpacedockError
from spacedockd import paths
from spacedockd.http.settings import FIRST_PORT, HttpSettings
from spacedockd.pulse import Pulse, Watched

log = structlog.get_logger()

TOKEN, UPLOADS, OPENAI = "http-token", "http-uploads", "openai"
"""What the door keeps in the daemon's state directory."""

BACKLOG = 1024
NO_ALIASES: Mapping[str, str] = MappingProxyType({})

_SERVER = "spacedockd.http.server"
_PORT = "http-port"
_PORTS = range(FIRST_PORT, FIRST_PORT + 100)
_MOST_FILES = 2**16


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """What is served: the queue at `url`, and the daemon's own worker (`watched`).

    `models_as` says whom a model's name of OpenAI's API means (the configuration has it).
    """

    settings: HttpSettings
    url: str
    state_dir: Path
    models_as: Mapping[str, str]
    watched: Watched
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that takes connections, by TLS or not."""

    socket: socket.socket
    tls: ssl.SSLContext | None = None


class HttpServer:
    """HTTP on TCP and on a unix socket; the daemon keeps it up.

    The first connection has the packages loaded that answer: most hosts never get one, and a sixth of the
    service's memory is theirs.
    """

    def __init__(
        self,
        settings: HttpSettings,
        url: str,
        state_dir: Path,
        runtime_dir: Path,
        models_as: Mapping[str, str] = NO_ALIASES,
        watched: Watched | None = None,
    ) -> None:
        watched = watched or Watched(Pulse(), runtime_dir / "nobody.sock")
        self._options = DoorOptions(settings, url, state_dir, models_as, watched)
        self._runtime_dir = runtime_dir
        self._running: AsyncExitStack | None = None
        self._over = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises SpacedockError, and ConfigError where the port is taken."""
        self._over.clear()
        async with AsyncExitStack() as stack:
            token = owner_token(self._options.state_dir / TOKEN)
            answering = asyncio.create_task(self._answer(self._bound(stack), token))
            answering.add_done_callback(self._answered)
            stack.push_async_callback(asyncio.wait, {answering})
            stack.callback(answering.cancel)
            self._running = stack.pop_all()

    async def ended(self) -> None:
        """Return when it was stopped, or cannot answer."""
        await self._over.wait()
        await self.stop()

    async def stop(self) -> None:
        """Take no more connections, and end those that are open soon. Twice is safe."""
        running, self._running = self._running, None
        if running is not None:
            await running.aclose()
        self._over.set()

    def check(self, settings: HttpSettings) -> None:
        """See that it could be served so, by its certificate and address. Raises ConfigError."""
        tls_context(settings)
        now = self._options.settings
        if (settings.host, settings.port) != (now.host, now.port):
            tcp_socket(settings).close()

    async def renew(self, settings: HttpSettings, models_as: Mapping[str, str]) -> None:
        """End, for whoever keeps it alive to start it again by these settings."""
        self._options = replace(self._options, settings=settings, models_as=models_as)
        await self.stop()

    def _bound(self, stack: AsyncExitStack) -> list[Listening]:
        settings, state_dir = self._options.settings, self._options.state_dir
        path = settings.socket or self._runtime_dir / "http.sock"
        allow_files()
        tls = tls_context(settings)
        tcp = stack.enter_context(tcp_socket(settings, state_dir / _PORT))
        try:
            unix = stack.enter_context(paths.private_socket(path))
            unix.listen(BACKLOG)
        except OSError as error:
            raise paths.unusable_socket(path, error) from error
        stack.callback(path.unlink, missing_ok=True)
        url = url_of(settings, tcp)
        told = tell(self._runtime_dir, url, path, state_dir / TOKEN)
        stack.callback(told.unlink, missing_ok=True)
        log.info("http.listening", url=url, socket=str(path), token=settings.token)
        return [Listening(tcp, tls), Listening(unix)]

    async def _answer(self, bound: Sequence[Listening], token: str) -> None:
        if not left_over(self._options.state_dir):
            await _connected([one.socket for one in bound])
        server = await asyncio.to_thread(import_module, _SERVER)
        await server.answer(bound, replace(self._options, token=token))

    def _answered(self, answering: asyncio.Task[None]) -> None:
        if not answering.cancelled():
            log.error("http.failed", exc_info=answering.exception())
            self._over.set()


def left_over(state_dir: Path) -> bool:
    """Whether a server before has left work to be done: batches to go on with, files to be removed."""
    return any(path.is_file() for name in (UPLOADS, OPENAI) for path in (state_dir / name).glob("**/*"))


async def _connected(listening: Sequence[socket.socket]) -> None:
    """Return when somebody has connected; the connection waits to be taken."""
    loop, connected = asyncio.get_running_loop(), asyncio.Event()
    for one in listening:
        loop.add_reader(one, connected.set)
    try:
        await connected.wait()
    finally:
        for one in listening:
            loop.remove_reader(one)


def owner_token(path: Path) -> str:
    """The token of this daemon's user, made at its first use. Raises SpacedockError."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{PREFIX}-owner-{secrets.token_urlsafe(32)}\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise SpacedockError(f"{path} cannot be written: {error.strerror}") from error
    if path.stat().st_mode & 0o077:
        raise SpacedockError(f"{path} can be read by others: remove it, and another token is made")
    return path.read_text(encoding="utf-8").strip()


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
            return socket.create_server((settings.host, port), family=family, backlog=BACKLOG)
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


def allow_files() -> None:
    """Let this process have as many connections as the system allows, not the 1,024 that are usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
