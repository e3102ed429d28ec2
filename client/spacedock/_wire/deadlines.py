"""Connections to Redis whose every call has a deadline, and can be cancelled at every moment.

redis-py's own `socket_timeout` sends with `asyncio.wait_for`, which on Python 3.11 swallows a cancellation
that comes in the moment of success (python/cpython#86296): a task could not be stopped any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

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

from spacedock._wire.redis_address import Sentinels, check_files, read

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
