"""The answers to `spacedock spaces lock`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from spacedock._wire.rpc import LockOptions, OnProgress
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.replies.spaces import LockReply
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.adapters.endpoint import signature
from spacedock_worker.containers.docker.log_tail import masked
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.secrets import Secrets, unquoted
from spacedock_worker.jobs.space_spec import access_of, spec_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.host_file import shipped
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.image_policy import source_of
from spacedock_worker.state.image_usage import ImageUsage
from spacedock_worker.state.space_lock import VERSION, LockedSpace, locked_endpoints


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

    async def answer(self, asked: Asked[LockOptions]) -> LockReply:
        """The rows of the lock file.

        Where no Space is named, `failed` has those that cannot be locked, with the reasons, and `left_out`
        those that Spacedock comes with and nobody has used here. Raises BadRequestError, and StepError where
        the image of a Space that is named cannot be had, or none can.
        """
        options, tell = asked.options, asked.on_progress
        try:
            left_out = () if options.names else self._unused()
            names = options.names or sorted(self._registry.snapshot().spaces.keys() - left_out)
            entries = [self._registry.snapshot().get(name) for name in names]
        except SpaceNotFoundError as error:
            # The call as a whole names no Space, so the message has to.
            raise BadRequestError(str(error)) from error
        spaces: dict[str, Any] = {}
        notes: list[str] = []
        failed: dict[str, str] = {}
        for number, entry in enumerate(entries, start=1):
            on_progress = _numbered(f"{entry.id} ({number} of {len(entries)})", tell)
            try:
                locked, note = await self._lock(entry, on_progress, start=options.start)
            except StepError as error:
                if options.names or error.host:
                    raise
                failed[entry.id] = str(error)
                continue
            spaces[entry.id] = locked.model_dump(mode="json")
            notes += [note] if note else []
        return {
            "version": VERSION,
            "spaces": spaces,
            "notes": notes,
            "failed": failed,
            "left_out": sorted(left_out),
        }

    def _unused(self) -> Collection[str]:
        """The Spaces that Spacedock comes with, which nobody has changed or used here."""
        used = {note.space for note in self._notes.all()}
        entries = self._registry.snapshot().spaces
        return {name for name, entry in shipped().items() if entries.get(name) == entry and name not in used}

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
            why = "has not run here" if entry.is_plain else "has variables or a command of its own"
            note = f"{entry.id} {why}, so its endpoints are not locked: `--start` starts it"
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
