"""Addresses of Redis, and connections whose every call has a deadline and can be cancelled at every moment.

redis-py's own `socket_timeout` sends with `asyncio.wait_for`, which on Python 3.11 swallows a cancellation
that comes in the moment of success (python/cpython#86296): a task could not be stopped any more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from redis.asyncio import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
}
_FORMS = (
    "redis://[user:password@]host[:port][/db], rediss:// for TLS (also valkey://, valkeys://), unix:///path, "
    "or redis+sentinel://host:port,host:port/master"
)
_SENTINEL_PORT = 26379
_UNREADABLE = "its host or its port cannot be read; write special characters of a password as %XX"
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels, by host and port, that know the master of this name."""

    hosts: tuple[tuple[str, int], ...]
    name: str


def read(url: str) -> tuple[str, Sentinels | None]:
    """The address as redis-py takes it, and the Sentinels, if it names some.

    Raises ValueError that says what is wrong. Never with Python's own words: they quote what they stumble
    over, and that can be a part of the password.
    """
    scheme, mark, rest = url.strip().partition("://")
    scheme, _, watched = scheme.lower().partition("+")
    known = _SCHEMES.get(scheme)
    if not mark or known is None or watched not in ("", "sentinel") or (watched and known == "unix"):
        raise ValueError(f"write {_FORMS}")
    text = f"{known}://{rest}"
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("it has a control character in it")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    if watched:
        return _of_sentinels(parts)
    _check(parts)
    return text, None


def _of_sentinels(parts: SplitResult) -> tuple[str, Sentinels]:
    """The address of a master that has no host yet; its path is the master's name, then the database."""
    login, at, hosts = parts.netloc.rpartition("@")
    name, _, db = parts.path.removeprefix("/").partition("/")
    if not name:
        raise ValueError("after the Sentinels comes the name of their master, such as /mymaster")
    found = []
    for host in hosts.split(","):
        one = parts._replace(netloc=host, path="")
        _check(one)
        if not one.hostname:
            raise ValueError("a Sentinel's host is missing")
        found.append((one.hostname, one.port or _SENTINEL_PORT))
    plain = parts._replace(netloc=f"{login}{at}localhost", path=f"/{db}")
    _check(plain)
    return urlunsplit(plain), Sentinels(tuple(found), unquote(name))


def _check(parts: SplitResult) -> None:
    if parts.fragment:
        raise ValueError("write a '#' of the password as %23")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("the path of its socket is missing")
        return
    if not re.fullmatch(r"(.*@)?(\[[0-9A-Fa-f:.%\w]+\]|[^\s:@\[\]]*)(:\d{1,5})?", parts.netloc, re.DOTALL):
        raise ValueError(_UNREADABLE)
    port = re.search(r":(\d+)$", parts.netloc.rpartition("@")[2].rpartition("]")[2])
    if port and not 0 < int(port[1]) < 2**16:
        raise ValueError("its port is no number from 1 to 65535")
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("its host is no name of a host") from None
    if not re.fullmatch(r"/?\d*", unquote(parts.path)):
        raise ValueError("after the host comes the number of the database, such as /0, and nothing else")


def check_files(options: dict[str, Any]) -> None:
    """Raise ValueError where a file of certificates that an address names is missing."""
    for name in _TLS_FILES:
        if (path := options.get(name)) and not Path(path).exists():
            raise ValueError(f"{name}={path}: there is no such file")


CONNECT_SECONDS = 5.0
CALL_SECONDS = 30.0
_IDLE_SECONDS = 30
"""A connection that was idle for so long is tried before it is used."""


class _Deadlines(AbstractConnection):
    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        async with asyncio.timeout(CALL_SECONDS):
            await super().send_packed_command(command, check_health)

    async def read_response(  # redis-py gave the parameter its name
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109
        **options: Any,
    ) -> Any:
        if timeout is not None:
            # Whoever gives a time wants None, not an error, when it is over: redis-py does that well.
            return await super().read_response(disable_decoding, timeout, **options)
        async with asyncio.timeout(CALL_SECONDS):
            return await super().read_response(disable_decoding, **options)


class _Tcp(_Deadlines, Connection):
    pass


class _Tls(_Deadlines, SSLConnection):
    pass


class _Unix(_Deadlines, UnixDomainSocketConnection):
    pass


_WITH_DEADLINES: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


class _SentinelTcp(_Deadlines, SentinelManagedConnection):
    pass


class _SentinelTls(_Deadlines, SentinelManagedSSLConnection):
    pass


class _SentinelPool(SentinelConnectionPool):
    """Connections to whichever Redis its Sentinels call the master now; closes those to the Sentinels too."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def pool_of(url: str) -> ConnectionPool:
    """Connections to what an address names (see `redis_address`); each opens at its first call.

    Raises ValueError where it is no address. Calls raise redis-py's errors, and TimeoutError.
    """
    plain, sentinels = read(url)
    pool = ConnectionPool.from_url(
        plain,
        socket_connect_timeout=CONNECT_SECONDS,
        health_check_interval=_IDLE_SECONDS,
        # Newer versions of redis-py would send a call again whose answer was lost: it could count twice.
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    check_files(pool.connection_kwargs)
    try:
        if sentinels is not None:
            pool = _watched(sentinels, pool)
        else:
            pool.connection_class = _WITH_DEADLINES[pool.connection_class]
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, RedisError) as error:
        raise ValueError(f"an option after its '?' is unknown or wrong ({error})") from error
    return pool


def _watched(sentinels: Sentinels, pool: ConnectionPool) -> ConnectionPool:
    """Connections like those of `pool`, to the master that these Sentinels name."""
    tls = pool.connection_class is SSLConnection
    options = {name: value for name, value in pool.connection_kwargs.items() if name not in ("host", "port")}
    theirs: dict[str, Any] = {"ssl": tls, "socket_connect_timeout": CONNECT_SECONDS}
    theirs |= {"socket_timeout": CONNECT_SECONDS, "protocol": 2, "retry": options["retry"]}
    theirs |= {name: value for name, value in options.items() if name.startswith("ssl_")}
    for name in ("username", "password"):
        if (value := options.pop(f"sentinel_{name}", None)) is not None:
            theirs[name] = value
    return _SentinelPool(  # type: ignore[no-untyped-call]
        sentinels.name,
        Sentinel(sentinels.hosts, sentinel_kwargs=theirs),  # type: ignore[no-untyped-call]
        connection_class=_SentinelTls if tls else _SentinelTcp,
        **options,
    )
