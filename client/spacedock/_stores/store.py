"""What a store of files is, the addresses by which there are some, and which one a queue has."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock.errors import BadRequestError

IN_REDIS = "redis"
"""The address that says: no store, everything is in the queue's Redis."""

IDENTITY = "spacedock-store"
"""The name of the file that tells which queue's store this is."""

CALL_SECONDS = 30.0
"""How long one call to a store may take that carries a piece at most."""

CHUNK = 2**20
_PLACE = re.compile(r"[0-9a-f]{64}(\.[A-Za-z0-9_-]{1,200})?")
_FORMS = f"write file:///FOLDER, s3://BUCKET/PREFIX?endpoint=URL&region=NAME, or {IN_REDIS}"
_S3_OPTIONS = {"endpoint", "region"}


class Store(Protocol):
    """Files by their content, for all hosts of a queue at once.

    A file has no name but its place (`FileRef.place`), so nothing that Redis says leads to another path.
    `put` is atomic, and two hosts may put the same content at once. Nothing is verified here: whoever reads
    compares the digest (`Payloads.read`). Each method raises StoreAwayError where the store cannot be used
    now, and StoreFullError where it has no room.
    """

    url: str

    async def put(self, place: str, data: bytes) -> None:
        """Store a file; whole or not at all."""
        ...

    def get(self, place: str) -> AsyncIterator[bytes]:
        """A file's content, a piece at a time. Raises FileNotFoundError."""
        ...

    async def delete(self, place: str) -> None:
        """Remove a file; again is safe."""
        ...

    def older(self, seconds: float) -> AsyncIterator[list[tuple[str, int]]]:
        """The place and the size of each file that was put so long ago, some thousands at a time.

        What a crash left half is removed.
        """
        ...

    async def room(self) -> tuple[int, int] | None:
        """The bytes that are free, and those that there are; None where there is no telling."""
        ...

    async def identity(self) -> str | None:
        """Which queue's store this is; None if it has not been made one, or is not mounted."""
        ...

    async def make(self, identity: str) -> None:
        """Make it the store of that queue."""
        ...


def is_place(name: str) -> bool:
    """Whether that is the name of a file by its content, which can name nothing else."""
    return _PLACE.fullmatch(name) is not None


def checked(place: str) -> str:
    """The place, if it is one. Raises FileNotFoundError."""
    if not is_place(place):
        raise FileNotFoundError(place)
    return place


def seconds_for(size: int) -> float:
    """How long it may take to put so many bytes."""
    return CALL_SECONDS + size / 2**20


def check_url(url: str) -> str:
    """The address, as it is written down for all hosts.

    Raises BadRequestError. It must not have a password in it: whoever may read the queue can read it.
    """
    if url == IN_REDIS:
        return url
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BadRequestError(f"the address cannot be read: {_FORMS}") from None
    if parts.username or parts.password or parts.fragment:
        raise BadRequestError(
            "the address holds a password or a '#': give credentials as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment of daemons and clients"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        if not parts.query and ".." not in parts.path.split("/") and len(unquote(parts.path)) > 1:
            return url.rstrip("/")
    elif parts.scheme == "s3" and parts.netloc:
        if unknown := sorted(options.keys() - _S3_OPTIONS):
            raise BadRequestError(f"unknown option '{unknown[0]}': {_FORMS}")
        return url
    raise BadRequestError(f"'{url}' is not where files can be: {_FORMS}")


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
