"""Calls to a worker that are not jobs: the registry, cleaning up, locking; short ones and long ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis

from spacedock import keys, submission, wire
from spacedock.connection import answer, told_as_ours
from spacedock.errors import BadRequestError, NoWorkerError, SpaceNotFoundError
from spacedock.files import FileRef, Payload, media_type_of
from spacedock.request import JobRequest

CALL_SECONDS = 5
"""How long a call waits for a worker; an unanswered call expires with it."""

WORKING_SECONDS = 1.0
"""How often a worker that is not done yet says so."""

SILENCE_SECONDS = 20
"""How long a worker that has taken a call may be silent before it is given up."""

OnProgress = Callable[[str], None]


class Op(StrEnum):
    """What is asked of a worker."""

    LIST = "list"
    SHOW = "show"
    ADD = "add"
    REMOVE = "remove"
    CLEANUP = "cleanup"
    LOCK = "lock"
    SEARCH = "search"
    ABOUT = "about"
    RECOMMEND = "recommend"
    VALIDATE = "validate"
    PROFILE = "profile"
    PLAN = "plan"
    TIERS = "tiers"


class Call(BaseModel):
    """A control call: `entry` has the fields of registry.yaml, `repository` a packed Space.

    `options` are the operation's own, such as `dry_run`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    op: Op
    name: str | None = None
    entry: dict[str, Any] = Field(default_factory=dict)
    repository: FileRef | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Reply(BaseModel):
    """The answer: entries by name, or what was wrong; `known` are the names that there are.

    `data` is what an operation gives besides entries. `working` marks a reply that is not the last: what
    the worker is doing, in words (they may be empty).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    spaces: dict[str, dict[str, Any]] = Field(default_factory=dict)
    error: str | None = None
    not_found: bool = False
    known: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    data: dict[str, Any] = Field(default_factory=dict)
    working: str | None = None


class Caller:
    """Puts calls to whichever worker is first to take them."""

    def __init__(self, redis: Redis, url: str) -> None:
        self._redis, self._url = redis, url

    async def ask(self, call: Call, on_progress: OnProgress | None = None) -> Reply:
        """The final reply to the call; `on_progress` hears what a worker says that is still at work.

        Raises NoWorkerError where no worker takes it within 5 s, or the one that did falls silent;
        SpaceNotFoundError; BadRequestError with what was wrong.
        """
        with told_as_ours(self._url):
            reply = await self._answered(call, on_progress)
        if reply.not_found:
            raise SpaceNotFoundError(call.name or "", reply.known)
        if reply.error is not None:
            raise BadRequestError(reply.error)
        return reply

    async def _answered(self, call: Call, on_progress: OnProgress | None) -> Reply:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(keys.CONTROL, wire.encode(call))
            pipe.expire(keys.CONTROL, CALL_SECONDS)
            await pipe.execute()
        seconds = CALL_SECONDS
        while (raw := await answer(self._redis.brpop([keys.reply(call.id)], timeout=seconds))) is not None:
            reply = wire.decode(Reply, raw[1])
            if reply.working is None:
                return reply
            if on_progress is not None and reply.working:
                on_progress(reply.working)
            seconds = SILENCE_SECONDS
        # Calls of others may have kept the list alive: this one must not be executed any more.
        await answer(self._redis.lrem(keys.CONTROL, 0, wire.encode(call).decode()))
        raise NoWorkerError(seconds)


class Spaces:
    """The Spaces of the host whose worker answers. Every method raises NoWorkerError after 5 s of silence."""

    def __init__(self, caller: Caller, redis: Redis, url: str) -> None:
        self._caller, self._redis, self._url = caller, redis, url

    async def list(self, *, status: bool = False) -> Reply:
        """All Spaces, and warnings about entries that cannot be read.

        With `status`, `data["status"]` says for each what is there of it on the host: its state, its
        containers, and the bytes of its image and its cache.
        """
        return await self._call(Op.LIST, options={"status": status})

    async def show(self, name: str) -> dict[str, Any]:
        """One Space's entry. Raises SpaceNotFoundError."""
        return (await self._call(Op.SHOW, name)).spaces[name]

    async def status(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """One Space's entry, and what is there of it (see `list`). Raises SpaceNotFoundError."""
        reply = await self._call(Op.SHOW, name, options={"status": True})
        return reply.spaces[name], reply.data.get("status", {}).get(name, {})

    async def add(
        self, name: str, entry: dict[str, Any], repository: Payload | None = None
    ) -> dict[str, Any]:
        """Add or replace a Space; `repository` is its packed directory. Raises BadRequestError.

        `entry` has the fields of registry.yaml; its `id` may be left out, and is its name.
        """
        ref, fields = None, dict(entry)
        if fields.pop("id", name) != name:
            raise BadRequestError(f"Space '{name}': its id says '{entry['id']}'. They are the same name.")
        if repository is not None:
            with told_as_ours(self._url):
                await submission.upload(self._redis, [repository])
            ref = repository.ref
        return (await self._call(Op.ADD, name, fields, ref)).spaces[name]

    async def remove(self, name: str) -> dict[str, Any]:
        """Remove a Space, its containers and its cache; says what that freed. Raises SpaceNotFoundError."""
        return (await self._call(Op.REMOVE, name)).data

    async def profile(self, name: str) -> dict[str, Any]:
        """What was measured of a Space where it ran: `images` (the newest first) and `advice`.

        Times are in seconds, memory in bytes; see docs/profiles.md. Raises SpaceNotFoundError.
        """
        found: dict[str, Any] = (await self._call(Op.PROFILE, name)).data["spaces"][name]
        return found

    async def profiles(self) -> dict[str, dict[str, Any]]:
        """The profiles of all Spaces that have run, by name, each with its newest image alone."""
        found: dict[str, dict[str, Any]] = (await self._call(Op.PROFILE)).data["spaces"]
        return found

    async def lock(
        self, names: Iterable[str], *, start: bool = False, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """The lock of these Spaces (all, where none is named); gets their images where they are not there.

        With `start`, Spaces that have never run are started, so that their endpoints are known. Raises
        SpaceNotFoundError.
        """
        options = {"names": list(names), "start": start}
        return (await self._call(Op.LOCK, options=options, on_progress=on_progress)).data

    async def validate(
        self,
        name: str,
        *,
        deep: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - the worker bounds its trial call
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Whether a Space (a registry name, or a Hub id) can run on the host, without getting it.

        With `deep` it is got, started and called once, within `timeout` seconds. Returns `works` (None: that
        could not be found out), `reason`, `at`, `digest`, `deep`, `stored` (in the registry), and `checks`:
        each with `name`, `status` (ok, bad, unknown), `reason` and `advice`. A deep one also has `endpoint`,
        `endpoints` and `seconds`. Raises SpaceNotFoundError.
        """
        options: dict[str, Any] = {"deep": deep} | ({} if timeout is None else {"timeout": timeout})
        return (await self._call(Op.VALIDATE, name, options=options, on_progress=on_progress)).data

    async def recommend(
        self,
        text: str = "",
        *,
        files: Iterable[Path | str] = (),
        category: str | None = None,
        limit: int = 5,
        performance_first: bool = False,
    ) -> dict[str, Any]:
        """The Spaces of the registry that suit a task, by its words and the names of its files (not read).

        `spaces`, the best first, each with `name`, `score` (0 to 1), `category`, `input_type`, `output_type`,
        `state` and `reasons`; `task`, what it looks like; `advice`, what to do where nothing fits. With a
        category, or a category's name for words, only Spaces of that. Raises BadRequestError.
        """
        options = {
            "text": text,
            "media_types": [media_type_of(str(file)) for file in files],
            "category": category,
            "limit": limit,
            "performance_first": performance_first,
        }
        return (await self._call(Op.RECOMMEND, options=options)).data

    async def _call(
        self,
        op: Op,
        name: str | None = None,
        entry: dict[str, Any] | None = None,
        repository: FileRef | None = None,
        options: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Reply:
        call = Call(
            id=uuid.uuid4().hex,
            op=op,
            name=name,
            entry=entry or {},
            repository=repository,
            options=options or {},
        )
        return await self._caller.ask(call, on_progress)


async def cleanup(
    caller: Caller,
    *,
    dry_run: bool,
    images: bool,
    older_than: float,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Have the worker free what is older than `older_than` seconds; returns its report."""
    options = {"dry_run": dry_run, "images": images, "older_than": older_than}
    call = Call(id=uuid.uuid4().hex, op=Op.CLEANUP, options=options)
    return (await caller.ask(call, on_progress)).data


async def plan(caller: Caller, redis: Redis, request: JobRequest) -> dict[str, Any]:
    """What a worker would do with the request, and why; nothing is run (see `Client.plan`)."""
    options = {"request": request.model_dump(mode="json")}
    try:
        return (
            await caller.ask(Call(id=uuid.uuid4().hex, op=Op.PLAN, name=request.space, options=options))
        ).data
    finally:
        if request.privacy:
            # The call's prompt is in the server's append-only file until that is written anew.
            await redis.set(keys.SCRUB, b"1")


async def tiers(caller: Caller) -> dict[str, Any]:
    """How a host and its tiers stand; see `Client.tiers`."""
    return (await caller.ask(Call(id=uuid.uuid4().hex, op=Op.TIERS))).data


async def workers(redis: Redis) -> int:
    """How many workers are alive."""
    return len([key async for key in redis.scan_iter(match=keys.worker("*"), count=1000)])
