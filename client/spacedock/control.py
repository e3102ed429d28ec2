"""Calls to a worker that are not jobs: the registry's list, show, add and remove."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from spacedock import keys, submission, wire
from spacedock.connection import answer, told_as_ours
from spacedock.errors import BadRequestError, NoWorkerError, SpaceNotFoundError
from spacedock.files import FileRef, Payload

CALL_SECONDS = 5
"""How long a call waits for a worker; an unanswered call expires with it."""


class Op(StrEnum):
    """What is asked of the registry."""

    LIST = "list"
    SHOW = "show"
    ADD = "add"
    REMOVE = "remove"


class Call(BaseModel):
    """A control call: `entry` has the fields of registry.yaml, `repository` a packed Space."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    op: Op
    name: str | None = None
    entry: dict[str, Any] = Field(default_factory=dict)
    repository: FileRef | None = None


class Reply(BaseModel):
    """The answer: entries by name, or what was wrong; `known` are the names that there are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    spaces: dict[str, dict[str, Any]] = Field(default_factory=dict)
    error: str | None = None
    not_found: bool = False
    known: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Spaces:
    """The registry of the host whose worker answers. Every method raises NoWorkerError after 5 s."""

    def __init__(self, redis: Redis, url: str) -> None:
        self._redis, self._url = redis, url

    async def list(self) -> Reply:
        """All Spaces, and warnings about entries that cannot be read."""
        return await self._call(Op.LIST)

    async def show(self, name: str) -> dict[str, Any]:
        """One Space's entry. Raises SpaceNotFoundError."""
        return (await self._call(Op.SHOW, name)).spaces[name]

    async def add(
        self, name: str, entry: dict[str, Any], repository: Payload | None = None
    ) -> dict[str, Any]:
        """Add or replace a Space; `repository` is its packed directory. Raises BadRequestError."""
        ref = None
        if repository is not None:
            with told_as_ours(self._url):
                await submission.upload(self._redis, [repository])
            ref = repository.ref
        return (await self._call(Op.ADD, name, entry, ref)).spaces[name]

    async def remove(self, name: str) -> None:
        """Remove a Space. Raises SpaceNotFoundError."""
        await self._call(Op.REMOVE, name)

    async def _call(
        self,
        op: Op,
        name: str | None = None,
        entry: dict[str, Any] | None = None,
        repository: FileRef | None = None,
    ) -> Reply:
        call = Call(id=uuid.uuid4().hex, op=op, name=name, entry=entry or {}, repository=repository)
        with told_as_ours(self._url):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.lpush(keys.CONTROL, wire.encode(call))
                pipe.expire(keys.CONTROL, CALL_SECONDS)
                await pipe.execute()
            raw = await answer(self._redis.brpop([keys.reply(call.id)], timeout=CALL_SECONDS))
            if raw is None:
                # Calls of others may have kept the list alive: this one must not be executed any more.
                await answer(self._redis.lrem(keys.CONTROL, 0, wire.encode(call).decode()))
                raise NoWorkerError(CALL_SECONDS)
        reply = wire.decode(Reply, raw[1])
        if reply.not_found:
            raise SpaceNotFoundError(name or "", reply.known)
        if reply.error is not None:
            raise BadRequestError(reply.error)
        return reply


async def workers(redis: Redis) -> int:
    """How many workers are alive."""
    return len([key async for key in redis.scan_iter(match=keys.worker("*"), count=1000)])
