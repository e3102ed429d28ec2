"""The connection to Redis: deadlines on every call, and Redis's errors told as ours."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from spacedock._wire.deadlines import pool_of
from spacedock.configuration import has_daemon
from spacedock.errors import BadRequestError, NotConnectedError, RefusedError

T = TypeVar("T")
Trouble = TypeVar("Trouble", bound=Exception)

OUTAGES = (RedisConnectionError, RedisTimeoutError, OSError)
"""What redis-py raises while the server is away; trying again later may help."""


def connect(url: str) -> Redis:
    """A client for `redis://`, `rediss://` (or `valkey://`, `valkeys://`), `redis+sentinel://` or `unix://`.

    Its socket opens at the first call. Raises BadRequestError where the address is not one of these.
    """
    try:
        return Redis.from_pool(pool_of(url))
    except ValueError as error:
        raise BadRequestError(f"'{redacted(url)}' is not the address of a Redis: {error}") from None


def answer(value: Awaitable[T] | T) -> Awaitable[T]:
    """Name an asyncio command's type: redis-py shares its annotations with the blocking client."""
    return cast(Awaitable[T], value)


def redacted(url: str) -> str:
    """The address without its password, which stands before the host or among the options."""
    bare = re.sub(r"(?<=[?&_]password=)[^&]*", "***", url)
    return re.sub(r"(?<=//)([^/?:@]*):.*@", r"\1:***@", bare)


@contextmanager
def told_as_ours(url: str) -> Iterator[None]:
    """Turn Redis's errors into RefusedError and NotConnectedError; neither shows the address's password."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise explained(url, error) from error


def explained(url: str, error: Exception) -> RefusedError | NotConnectedError:
    """What an error of redis-py means for whoever uses this address."""
    shown, said = redacted(url), str(error) or type(error).__name__
    for kind, why, advice, lasting in _REFUSALS:
        if _behind(error, kind):
            passing = not lasting or said.startswith(_PASSING)
            return RefusedError(shown, why.format(said=said), advice, lasting=not passing)
    if tls := _behind(error, ssl.SSLError):
        return RefusedError(shown, *_about_tls(tls))
    scheme = url.strip().partition("://")[0].lower()
    if scheme in _TLS_SCHEMES and _behind(error, RedisTimeoutError):
        said += "; where it does not speak TLS, write redis://"
    elif scheme in _PLAIN_SCHEMES and re.search("closed|reset", said):
        said += "; where it speaks TLS, write rediss://"
    return NotConnectedError(shown, _short(said))


def _short(said: str) -> str:
    """What redis-py says without the address, which is told beside it: "No such file or directory"."""
    found = re.fullmatch(r"Error (?:(-?\d+) )?connecting to .+?\. (.+?)\.?", said, re.DOTALL)
    if found is None:
        # A Sentinel's trouble comes with the objects that spoke to it.
        return re.sub(r"<redis\..*?\)> - ", "", said)
    code = found[1] or (re.findall(r"Errno (\d+)", found[2]) or [""])[0]
    return os.strerror(int(code)) if "Connect call failed" in found[2] and code else found[2]


_PASSING = ("MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY")
"""How answers begin that tell of a disk that is full, a master that is away, or a script that runs long."""

_PLAIN_SCHEMES, _TLS_SCHEMES = ("redis", "valkey"), ("rediss", "valkeys")


_REFUSALS: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (
        AuthenticationError,
        "it does not take this user and password ({said})",
        "Correct them in its address, redis://user:password@host, with special characters as %XX",
        True,
    ),
    (
        NoPermissionError,
        "its user lacks a right ({said})",
        "docs/redis.md has the ACL of each kind of user",
        True,
    ),
    (ReadOnlyError, "it is a read-only replica", "Name its master", False),
    (OutOfMemoryError, "its memory is full ({said})", "Free results with `spacedock cleanup`", False),
    (BusyLoadingError, "it is still loading its file", "Try again in a moment", False),
    (InvalidResponse, "what answers there is no Redis ({said})", "Correct the address", True),
    (ResponseError, "it refused: {said}", "docs/redis.md says what Spacedock needs", True),
)
"""What redis-py raises, what it means, what to do, and whether it lasts; the first that fits counts."""


def _behind(error: BaseException | None, kind: type[Trouble]) -> Trouble | None:
    """The error of that kind that this one is, or wraps: redis-py wraps what comes while it connects."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _about_tls(error: ssl.SSLError) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message})",
            "Name the CA that signed it: rediss://host?ssl_ca_certs=FILE",
        )
    return (
        f"TLS fails ({error.reason or error})",
        "Write redis:// where it does not speak TLS; where it wants a certificate of yours, add "
        "?ssl_certfile=FILE&ssl_keyfile=FILE",
    )


STARTING_SECONDS, _LOOK_SECONDS = 10.0, 0.1
"""How long the Redis of a daemon may take to come up, and how often it is looked for."""


async def meet(redis: Redis, url: str) -> None:
    """`greet`; where a daemon of this machine is only starting, once its Redis answers."""
    end = monotonic() + STARTING_SECONDS
    while True:
        try:
            return await greet(redis, url)
        except (NotConnectedError, RefusedError) as error:
            lasting = isinstance(error, RefusedError) and error.lasting
            if lasting or monotonic() > end or not has_daemon(url):
                raise
        await asyncio.sleep(_LOOK_SECONDS)


OLDEST = 7
"""Redis from this major version on; every Valkey is newer."""


async def greet(redis: Redis, url: str) -> None:
    """See that a server answers that can hold a queue. Raises RefusedError and NotConnectedError."""
    shown = redacted(url)
    with told_as_ours(url):
        raw = await redis.execute_command("HELLO")  # type: ignore[no-untyped-call]
    fields = raw if isinstance(raw, dict) else dict(zip(raw[::2], raw[1::2], strict=False))
    told = {_text(name): _text(value) for name, value in fields.items()}
    if told.get("mode") == "cluster":
        raise RefusedError(
            shown, "it is a Redis Cluster", "Name a single Redis or Valkey: all of a queue is in one place"
        )
    if told.get("mode") == "sentinel":
        raise RefusedError(
            shown, "it is a Sentinel, not the Redis that it watches", "Write redis+sentinel://host:port/name"
        )
    major = told.get("version", "").partition(".")[0]
    if major.isdecimal() and int(major) < OLDEST:
        raise RefusedError(
            shown, f"it is version {told['version']}", f"Spacedock needs Redis {OLDEST} or newer, or Valkey"
        )
    if told.get("role") != "master":
        raise RefusedError(shown, "it is a read-only replica", "Name its master", lasting=False)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


QUIET_SECONDS = 5.0
"""After so long without a message the server is asked whether it is there; it has as long to answer."""

_TEXT_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """What was published on a channel."""

    channel: str
    data: bytes

    @property
    def text(self) -> str:
        """The data as text, cut at a bound; bytes that are not UTF-8 are replaced."""
        return self.data[:_TEXT_BYTES].decode(errors="replace")


async def messages(redis: Redis, *channels: str) -> AsyncGenerator[Message | None]:
    """Yield None once all channels are subscribed, so that nothing is missed from here on; then each message.

    Never ends by itself. Raises redis-py's errors, and TimeoutError where the server has fallen silent.
    """
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(*channels)
        missing, asked = len(channels), False
        while True:
            message = await pubsub.get_message(timeout=QUIET_SECONDS)
            if message is None:
                if asked:
                    raise TimeoutError("Redis has fallen silent")
                await pubsub.ping()
            elif message["type"] == "message":
                yield Message(message["channel"].decode(), message["data"])
            elif message["type"] == "subscribe":
                missing -= 1
                if missing == 0:
                    yield None
            asked = message is None
