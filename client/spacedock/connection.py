"""The connection to Redis: deadlines on every call, and Redis's errors told as ours."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from spacedock.deadlines import pool_of
from spacedock.errors import BadRequestError, NotConnectedError

T = TypeVar("T")

OUTAGES = (RedisConnectionError, RedisTimeoutError, OSError)
"""What redis-py raises while the server is away; trying again later may help."""


def connect(url: str) -> Redis:
    """A client for `redis://`, `rediss://` or `unix://`; the socket opens at the first call.

    Raises BadRequestError where the address is not one of these.
    """
    try:
        return Redis.from_pool(pool_of(url))
    except ValueError as error:
        raise BadRequestError(f"'{redacted(url)}' is not the address of a Redis: {error}") from error


def answer(value: Awaitable[T] | T) -> Awaitable[T]:
    """Name an asyncio command's type: redis-py shares its annotations with the blocking client."""
    return cast(Awaitable[T], value)


def redacted(url: str) -> str:
    """The address without its password, which stands before the host or among the options."""
    bare = re.sub(r"(?<=[?&]password=)[^&]*", "***", url)
    return re.sub(r"(?<=//)([^/?:@]*):.*@", r"\1:***@", bare)


@contextmanager
def told_as_ours(url: str) -> Iterator[None]:
    """Turn Redis's errors into NotConnectedError that names the address (without its password)."""
    try:
        yield
    except ResponseError as error:
        raise NotConnectedError(redacted(url), f"it refused: {error}") from error
    except (RedisError, OSError) as error:
        raise NotConnectedError(redacted(url), str(error) or type(error).__name__) from error
