"""What Redis knows of the files that are in a store, and where that store is."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.connection import answer

DELETING_SECONDS = 60
"""How long a file may take to be deleted from the store, after which it may be put again."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where the queue's daemons say that large files are, and whose store that is.

    `own` says that it is a folder of the machine that the queue's server runs on.
    """

    url: str
    identity: str
    own: bool = False


async def published(redis: Redis) -> Published | None:
    """What the daemons say; None where all files are in Redis."""
    told = await answer(redis.hmget(keys.SETTINGS, ["files", "store", "own"]))
    url, identity, own = (value.decode(errors="replace") if value else "" for value in told)
    return Published(url, identity, bool(own)) if url and identity else None
