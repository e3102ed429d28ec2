"""The answers to `spacedock spaces lock`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis

from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.rpc import Call, OnProgress, Reply
from spacedock.wire import describe
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.adapters.endpoint import signature
from spacedock_worker.containers import Pool
from spacedock_worker.images import Image, Images
from spacedock_worker.jobs.secrets import Secrets, masked, unquoted
from spacedock_worker.jobs.space_spec import access_of, source_of, spec_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.file import Registry
from spacedock_worker.state.image_usage import ImageUsage
from spacedock_worker.state.space_lock import VERSION, LockedSpace, locked_endpoints, row_of


class LockOptions(BaseModel):
    """Which Spaces (none named: all), and whether those that have never run shall."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    names: tuple[str, ...] = ()
    start: bool = False


class LockHandler:
    """Says what each Space is on this host now, whatever an earlier lock says."""

    def __init__(
        self,
        registry: Registry,
        images: Images,
        pool: Pool[Adapter],
        opener: Opener,
        notes: ImageUsage,
        secrets: Secrets,
    ) -> None:
        self._registry, self._images, self._pool = registry, images, pool
        self._opener, self._notes, self._secrets = opener, notes, secrets

    async def answer(self, call: Call, redis: Redis, tell: OnProgress) -> Reply:
        """The rows of the lock file. Raises BadRequestError, StepError where an image cannot be had."""
        try:
            options = LockOptions.model_validate(call.options)
            entries = [self._registry.snapshot().get(name) for name in self._names(options.names)]
        except ValidationError as error:
            raise BadRequestError(f"lock: {describe(error)}") from error
        except SpaceNotFoundError as error:
            # The call as a whole names no Space, so the message has to.
            raise BadRequestError(str(error)) from error
        spaces, notes = {}, []
        for number, entry in enumerate(entries, start=1):
            on_progress = _numbered(f"{entry.id} ({number} of {len(entries)})", tell)
            locked, note = await self._lock(entry, on_progress, start=options.start)
            spaces[entry.id] = row_of(locked)
            notes += [note] if note else []
        data: dict[str, Any] = {"version": VERSION, "spaces": spaces, "notes": notes}
        return Reply(data=data)

    def _names(self, names: Sequence[str]) -> Sequence[str]:
        return names or sorted(self._registry.snapshot().spaces)

    async def _lock(
        self, entry: SpaceEntry, tell: OnProgress, *, start: bool
    ) -> tuple[LockedSpace, str | None]:
        tell("looking for its image")
        image = await self._images.get(source_of(entry, None), tell)
        await self._notes.used(image.reference, image.digest, entry.id)
        functions, note = self._notes.endpoints(image.digest) if entry.is_plain else None, None
        if entry.adapter == "command":
            functions = ()
        elif start and functions is None:
            functions = await self._functions(entry, image, tell)
        elif functions is None:
            note = f"{entry.id} has not run here, so its endpoints are not locked: `--start` starts it"
        locked = LockedSpace(
            commit=image.revision,
            image=image.reference,
            digest=image.digest,
            endpoints=locked_endpoints(functions),
        )
        return locked, note

    async def _functions(self, entry: SpaceEntry, image: Image, tell: OnProgress) -> tuple[str, ...]:
        connect = self._opener.connect_to(entry.app(image.digest), access_of(entry))
        spec = spec_of(entry, image, await self._secrets.of(entry))
        with unquoted(spec.secrets):
            async with self._pool.lease(
                spec, connect, lambda said: tell(masked(said, spec.secrets))
            ) as lease:
                functions = signature(lease.app.endpoints)
        if entry.is_plain:
            await self._notes.ran(image.reference, image.digest, functions)
        return functions


def _numbered(what: str, tell: OnProgress) -> Callable[[str], None]:
    return lambda message: tell(f"{what}: {message}")
