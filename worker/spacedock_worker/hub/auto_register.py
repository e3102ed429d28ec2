"""What is found out about Spaces by themselves: those that a job names, and what a new entry leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from redis.exceptions import RedisError

from spacedock.errors import BadRequestError
from spacedock_worker.caching import Shared, TimedCache, unheard
from spacedock_worker.hub.catalogue import Catalogue, entry_of
from spacedock_worker.hub.categories import Clues, infer
from spacedock_worker.hub.kinds import UNKNOWN
from spacedock_worker.images.hub_errors import HubError
from spacedock_worker.images.oci.reference import subdomain_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry

log = structlog.get_logger()

SECONDS = 5.0
"""How long a job waits for the Hub: its Space may be here, and need nobody's word."""

_ASK_AGAIN_SECONDS = 60.0


class AutoRegister:
    """Finds Spaces in the registry, else on the Hub.

    The Hub hears the Space's id and nothing of the job; while it is silent nobody waits for it twice.
    """

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        self._registry, self._catalogue = registry, catalogue
        self._unknown: TimedCache[bool] = TimedCache(_ASK_AGAIN_SECONDS)
        self._shared: Shared[SpaceEntry | None] = Shared()

    async def find(self, hub_id: str, *, keep: bool = True) -> SpaceEntry | None:
        """The Space's entry; None where nothing is known of it. Waits for the Hub for 5 s at most.

        Never raises for the Hub. With `keep` an entry that the registry has not is noted in the catalogue.
        Raises BadRequestError where it has one that cannot be used.
        """
        known = listed(self._registry, hub_id)
        if known is not None or self._unknown.get(hub_id):
            return known
        work = f"keep {hub_id}" if keep else hub_id
        return await self._shared.run(work, lambda _: self._discovered(hub_id, keep), unheard)

    async def _discovered(self, hub_id: str, keep: bool) -> SpaceEntry | None:
        try:
            async with asyncio.timeout(SECONDS):
                space, _ = await self._catalogue.about(hub_id, whole=False, seconds=SECONDS - 1)
        except (HubError, TimeoutError) as error:
            self._unknown.put(hub_id, True)
            log.info("space.not_discovered", space=hub_id, reason=str(error) or "the Hub does not answer")
            return None
        if not space.callable_here:
            # That it cannot be called is told where it would be built; nobody shall choose it by itself.
            self._unknown.put(hub_id, True)
            return None
        if not keep:
            return SpaceEntry.model_validate({"id": hub_id, **entry_of(space)})
        return await self._kept(hub_id, entry_of(space))

    async def _kept(self, hub_id: str, fields: dict[str, Any]) -> SpaceEntry:
        try:
            # What a person has written in the meantime stays.
            entry = await self._registry.discover(hub_id, fields)
        except (BadRequestError, RedisError, OSError) as error:
            log.warning("space.not_kept", space=hub_id, reason=str(error))
            return SpaceEntry.model_validate({"id": hub_id, **fields})
        log.info("space.discovered", space=hub_id, category=entry.category, confidence=entry.confidence)
        return entry


def listed(registry: Registry, hub_id: str) -> SpaceEntry | None:
    """The registry's entry of that name, else one that stands for that Space of the Hub and nothing else.

    Raises BadRequestError for an entry that was left out: what a person wrote is not to be replaced.
    """
    snapshot = registry.snapshot()
    own = snapshot.find(hub_id)
    if own is not None:
        return own
    same = (entry for entry in snapshot.spaces.values() if entry.hub_id == hub_id)
    return next((one for one in same if _is_no_other(one)), None)


def _is_no_other(entry: SpaceEntry) -> bool:
    """Whether the entry runs what the Hub has: anybody can add one with a Hub id of his choice.

    One with secrets or a login is the host's own.
    """
    if entry.repository is not None or entry.docker_image is not None:
        return False
    if entry.secrets or entry.auth:
        return True
    as_it_is = entry.command is None and entry.operation is None and not entry.env and entry.revision is None
    return as_it_is and entry.subdomain in (None, subdomain_of(entry.hub_id or ""))


Complete = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Gives for a name and the fields that a person gave all fields of the entry."""

_SECONDS = 4.0
_TOLD = ("description", "subdomain", "hardware", "tags", "likes")


def guessed(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with a category, and types, by the name and the description; what is given stays."""
    if "category" in fields:
        return dict(fields)
    hub_id, description = fields.get("hub_id"), str(fields.get("description") or "")
    guess = infer(Clues(str(hub_id or name), f"{name}. {description}" if hub_id else description))
    types = {"input_type": guess.input_type, "output_type": guess.output_type} if guess.sure else {}
    return {"category": guess.category, "confidence": guess.confidence, **types, **fields}


def completing(catalogue: Catalogue) -> Complete:
    """A `Complete` that asks the Hub about Spaces of the Hub; where it is silent, the name has to do."""

    async def complete(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        hub_id = fields.get("hub_id")
        own = guessed(name, fields)
        if not isinstance(hub_id, str):
            return own
        try:
            space, _ = await catalogue.about(hub_id, whole=False, seconds=_SECONDS)
        except HubError as error:
            log.info("space.not_completed", space=name, reason=str(error))
            return own
        said = entry_of(space)
        told = {key: said[key] for key in _TOLD if said.get(key)}
        if "category" in fields or own["confidence"] >= space.confidence:
            return told | own
        types = {key: said[key] for key in ("input_type", "output_type") if said[key] != UNKNOWN}
        return told | types | {"category": space.category, "confidence": space.confidence} | dict(fields)

    return complete
