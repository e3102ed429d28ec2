"""Tokens of the HTTP door: what each lets do; Redis holds their hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer, told_as_ours
from spacedock.errors import BadRequestError, WireError

PREFIX = "sd"
_TOKEN = re.compile(rf"{PREFIX}-([0-9a-f]{{8}})-[A-Za-z0-9_-]{{43}}")
_SECRET_BYTES = 32
_MOST = 1000

CODE = "code"
"""The purpose of a pass by which a browser is let in once."""

CODE_SECONDS = 60.0


class Scope(StrEnum):
    """What a token lets its holder do; each also lets do what is named before it."""

    READ = "read"
    SUBMIT = "submit"
    OPERATE = "operate"

    def covers(self, other: Scope) -> bool:
        """Whether who has this scope may do what the other one is needed for."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


class Token(BaseModel):
    """A token as it is kept: `sha256` is its hash, `created` seconds since 1970 by the clock of Redis."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str = Field(min_length=1, max_length=100)
    scope: Scope
    created: float
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Tokens:
    """The tokens of a queue, which every HTTP door of it takes."""

    def __init__(self, redis: Redis, url: str) -> None:
        self._redis, self._url = redis, url

    async def create(self, name: str, scope: Scope) -> str:
        """Make a token and return it: this is the only time that it can be seen. Raises BadRequestError."""
        if not name.isprintable() or not 0 < len(name.strip()) <= 100:
            raise BadRequestError("a token's name has 1 to 100 characters, such as the program that uses it")
        token_id = secrets.token_hex(4)
        text = f"{PREFIX}-{token_id}-{secrets.token_urlsafe(_SECRET_BYTES)}"
        with told_as_ours(self._url):
            if await answer(self._redis.hlen(keys.TOKENS)) >= _MOST:
                raise BadRequestError(f"there are {_MOST} tokens: revoke one with `spacedock token revoke`")
            created = float((await self._redis.time())[0])
            token = Token(id=token_id, name=name, scope=scope, created=created, sha256=hash_of(text))
            await answer(self._redis.hset(keys.TOKENS, token_id, wire.encode(token).decode()))
        return text

    async def find(self, text: str) -> Token | None:
        """The token that this text is; None where there is no such one (any more)."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            return None
        with told_as_ours(self._url):
            raw = await answer(self._redis.hget(keys.TOKENS, found[1]))
        token = _read(raw) if raw is not None else None
        # Compared in a time that does not tell how much of it is right.
        return token if token and hmac.compare_digest(token.sha256, hash_of(text)) else None

    async def list(self) -> list[Token]:
        """All tokens, the oldest first."""
        with told_as_ours(self._url):
            rows: Mapping[bytes, bytes] = await answer(self._redis.hgetall(keys.TOKENS))
        known = [token for raw in rows.values() if (token := _read(raw)) is not None]
        return sorted(known, key=lambda token: (token.created, token.id))

    async def revoke(self, name: str) -> Token:
        """Take a token back, by its id or its name. Raises BadRequestError unless exactly one matches."""
        known = await self.list()
        found = [token for token in known if name in (token.id, token.name)]
        if len(found) != 1:
            which = ", ".join(f"{token.name} ({token.id})" for token in found or known) or "none"
            said = f"'{name}' is {len(found)} tokens" if found else f"no token '{name}'"
            raise BadRequestError(f"{said}; there are: {which}. Name one by its id")
        with told_as_ours(self._url):
            await answer(self._redis.hdel(keys.TOKENS, found[0].id))
        return found[0]


def hash_of(text: str) -> str:
    """The hash of a token; its 256 random bits need no slower one."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def signed(secret: str, purpose: str, expires: float) -> str:
    """A pass for one purpose until that time (seconds since 1970), made without asking who will check it."""
    said = f"{expires:.0f}.{secrets.token_hex(16)}"
    return f"{said}.{_mac(secret, purpose, said)}"


def verified(secret: str, purpose: str, text: str, now: float) -> bool:
    """Whether this is a pass that `signed` made for that purpose, and its time is not over."""
    said, _, mac = text.rpartition(".")
    expires = said.partition(".")[0]
    right = hmac.compare_digest(mac.encode(), _mac(secret, purpose, said).encode())
    return right and float(expires) >= now


def _mac(secret: str, purpose: str, said: str) -> str:
    return hmac.new(secret.encode(), f"{purpose}:{said}".encode(), hashlib.sha256).hexdigest()


def _read(raw: bytes | str) -> Token | None:
    """The token of a record; None where it is somebody else's rubbish."""
    try:
        return wire.decode(Token, raw, wire.MAX_EVENT_BYTES)
    except WireError:
        return None
