"""Calls to a worker that are not jobs: the registry, cleaning up, locking; short ones and long ones."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import OUTAGES, answer, told_as_ours
from spacedock._wire.scripts import registered
from spacedock._wire.wire import checked
from spacedock.errors import BadRequestError, NoWorkerError, SpaceNotFoundError
from spacedock.files import FileRef
from spacedock.request import JobRequest

CALL_SECONDS = 5
"""How long a call waits for a worker; an unanswered call expires with it."""

WORKING_SECONDS = 1.0
"""How often a worker that is not done yet says so."""

SILENCE_SECONDS = 20
"""How long a worker that has taken a call may be silent before it is given up."""

_TAKE_BACK_SECONDS = 1.0


OnProgress = Callable[[str], None]

T = TypeVar("T")


class Op(StrEnum):
    """What is asked of a worker."""

    LIST = "list"
    SHOW = "show"
    ADD = "add"
    REMOVE = "remove"
    CLEANUP = "cleanup"
    LOCK = "lock"
    PULL = "pull"
    SEARCH = "search"
    ABOUT = "about"
    RECOMMEND = "recommend"
    VALIDATE = "validate"
    PROFILE = "profile"
    PLAN = "plan"
    TIERS = "tiers"
    LOGS = "logs"
    DOCTOR = "doctor"
    EXPORT = "export"
    IMPORT = "import"

    @property
    def asks(self) -> bool:
        """Whether it only asks, so that who may not operate may call it."""
        return self in _ASKING


_ASKING = frozenset(
    {Op.LIST, Op.SHOW, Op.SEARCH, Op.ABOUT, Op.RECOMMEND, Op.PROFILE, Op.PLAN, Op.TIERS, Op.DOCTOR}
)


class Options(BaseModel):
    """What an operation is told beside a Space's name; most need nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StatusOptions(Options):
    """Whether to tell what is there of each Space on the host, and what its app can do (of one alone)."""

    status: bool = False
    endpoints: bool = False


class AddOptions(Options):
    """Whether other code may `replace` a Space's, or a Space that must be there is changed (`update`)."""

    replace: bool = False
    update: bool = False


class CleanupOptions(Options):
    """What to free: what was not needed for `older_than` seconds, also `images`; with `dry_run` nothing."""

    dry_run: bool = False
    images: bool = False
    older_than: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class LockOptions(Options):
    """Which Spaces (none named: all), and whether to start those that have never run."""

    names: tuple[str, ...] = ()
    start: bool = False


class ExportOptions(Options):
    """Which Spaces: these, or those of a category; else all but those that Spacedock comes with."""

    names: tuple[str, ...] = ()
    category: str | None = None


class ImportOptions(Options):
    """A collection's `text`; with `apply` it is taken in, if what changes is still what was `seen` before."""

    text: str
    source: str = Field(default="collection", max_length=300)
    replace: bool = False
    apply: bool = False
    seen: str | None = None


class SearchOptions(Options):
    """Words to search by (none: all of the category), and how many Spaces of the Hub to name."""

    query: str = Field(default="", max_length=2000)
    category: str | None = Field(default=None, min_length=1, max_length=100)
    limit: int = Field(default=20, ge=1, le=100)
    hub: bool = True


class RecommendOptions(Options):
    """What is to be done: words, the media types of files, and how many Spaces to name.

    Words that are a category's name ask for that category.
    """

    text: str = Field(default="", max_length=100_000)
    media_types: tuple[str, ...] = Field(default=(), max_length=100)
    category: str | None = None
    limit: int = Field(default=5, ge=1, le=50)
    performance_first: bool = False


class ValidateOptions(Options):
    """Whether to try the Space (`deep`), and how many seconds its trial call may take."""

    deep: bool = False
    timeout: float = Field(default=120.0, gt=0, le=3600)


class PlanOptions(Options):
    """The request to plan, and the fields of others that differ from it in a few."""

    request: JobRequest
    alike: tuple[dict[str, Any], ...] = ()


class LogsOptions(Options):
    """How many lines of each log."""

    lines: int = 100


_OPTIONS: dict[Op, type[Options]] = {
    Op.LIST: StatusOptions,
    Op.SHOW: StatusOptions,
    Op.ADD: AddOptions,
    Op.CLEANUP: CleanupOptions,
    Op.LOCK: LockOptions,
    Op.SEARCH: SearchOptions,
    Op.RECOMMEND: RecommendOptions,
    Op.VALIDATE: ValidateOptions,
    Op.PLAN: PlanOptions,
    Op.LOGS: LogsOptions,
    Op.EXPORT: ExportOptions,
    Op.IMPORT: ImportOptions,
}


class Call(BaseModel):
    """A control call: `entry` has the fields of registry.yaml, `repository` a packed Space.

    `options` are the operation's own, such as `dry_run`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(max_length=200)
    op: Op
    name: str | None = None
    entry: dict[str, Any] = Field(default_factory=dict)
    repository: FileRef | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    def read_options(self) -> Options:
        """The operation's options. Raises BadRequestError."""
        try:
            return _OPTIONS.get(self.op, Options).model_validate(self.options)
        except ValidationError as error:
            raise BadRequestError(f"{self.op.value}: {wire.describe(error)}") from error


def call_of(op: Op, name: str | None = None, **options: Any) -> Call:
    """A call with these options. Raises BadRequestError where the operation does not take them."""
    call = Call(id=uuid.uuid4().hex, op=op, name=name, options=options)
    plain = call.read_options().model_dump(mode="json", exclude_unset=True)
    return call.model_copy(update={"options": plain})


class Reply(BaseModel):
    """The answer: entries by name, or what was wrong; `known` are the names that there are.

    `data` is what an operation gives besides entries, as `spacedock.replies` has it. `working` marks a
    reply that is not the last: what the worker is doing, in words (they may be empty).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    spaces: dict[str, dict[str, Any]] = Field(default_factory=dict)
    error: str | None = None
    not_found: bool = False
    known: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    data: Mapping[str, Any] = Field(default_factory=dict)
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

    async def get(self, call: Call, kind: type[T], on_progress: OnProgress | None = None) -> T:
        """What the final reply tells, of that kind. Raises as `ask` does, and WireError."""
        return checked(kind, (await self.ask(call, on_progress)).data, call.op.value)

    async def _answered(self, call: Call, on_progress: OnProgress | None) -> Reply:
        try:
            await self._put(call)
            reply, silence = await self._heard(call, on_progress)
        except asyncio.CancelledError:
            # Whoever gives up does not wait for a Redis that is away.
            with suppress(*OUTAGES):
                async with asyncio.timeout(_TAKE_BACK_SECONDS):
                    await self._take_back(call)
            raise
        if reply is None:
            await self._take_back(call)
            raise NoWorkerError(silence)
        return reply

    async def _put(self, call: Call) -> None:
        raw = wire.encode(call)
        if len(raw) > wire.MAX_CALL_BYTES:
            raise wire.too_large("call", wire.MAX_CALL_BYTES)
        if not call.op.asks:
            script = registered(self._redis, "put")
            await script(keys=[keys.CONTROL, keys.reply(call.id)], args=[raw, CALL_SECONDS])
            return
        # What changes nothing needs nobody's rights looked at before: a reader runs no scripts.
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(keys.ASK, raw)
            pipe.expire(keys.ASK, CALL_SECONDS)
            await pipe.execute()

    async def _heard(self, call: Call, on_progress: OnProgress | None) -> tuple[Reply | None, int]:
        """The final reply, None where there is none; and how long was waited for the last one at most."""
        seconds = CALL_SECONDS
        while (raw := await answer(self._redis.brpop([keys.reply(call.id)], timeout=seconds))) is not None:
            reply = wire.decode(Reply, raw[1])
            if reply.working is None:
                return reply, seconds
            if on_progress is not None and reply.working:
                on_progress(reply.working)
            seconds = SILENCE_SECONDS
        return None, seconds

    async def _take_back(self, call: Call) -> None:
        """Have nobody execute the call any more: those of others may keep the list alive."""
        place = keys.ASK if call.op.asks else keys.CONTROL
        await answer(self._redis.lrem(place, 0, wire.encode(call).decode()))
