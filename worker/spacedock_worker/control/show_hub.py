"""The answer to `spacedock spaces show user/space`: what the Hub says, and what this host has of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from spacedock._wire.rpc import OnProgress, Options
from spacedock.errors import BadRequestError
from spacedock.replies.spaces import AboutReply, HubImage
from spacedock.request import SPACE_NAME
from spacedock_worker.adapters.endpoint import signature
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.control.finding import row_of
from spacedock_worker.hub.auto_register import listed
from spacedock_worker.hub.catalogue import FRESH_SECONDS, Catalogue, age_of
from spacedock_worker.hub.space import HubSpace
from spacedock_worker.images.oci.manifest import Platform
from spacedock_worker.images.oci.survey import Availability, Offer, Survey
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.inspection import Inspection, Inspector
from spacedock_worker.jobs.planner import undescribed
from spacedock_worker.registry.registry import Registry

_HOST_SECONDS = 15.0
"""How long this host is asked: its engine lists its images twice, a thousand of them in seconds."""

_MOST_ENDPOINTS = 50


class ShowHubHandler:
    """Tells of Spaces of the Hub, whether the registry has them or not."""

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        survey: Survey,
        inspector: Inspector,
        now: Callable[[], float],
    ) -> None:
        self._registry, self._catalogue = registry, catalogue
        self._survey, self._inspector, self._now = survey, inspector, now

    async def answer(self, asked: Asked[Options]) -> AboutReply:
        """The Space, its image and its endpoints. Raises BadRequestError, SpaceNotFoundError, HubError."""
        hub_id = self._hub_id(asked.call.name or "")
        asked.on_progress("asking the Hub")
        space, cached_at = await self._catalogue.about(hub_id)
        known = await self._known(space)
        entry = listed(self._registry, hub_id)
        return {
            "space": row_of(space, entry.id if entry else None),
            "cached_at": cached_at,
            "note": self._note(cached_at),
            "image": await self._image(space, known.image if known else None, asked.on_progress),
            "endpoints": list(signature(known.endpoints if known else ()))[:_MOST_ENDPOINTS],
        }

    def _hub_id(self, name: str) -> str:
        """The Hub id that is meant: the name itself, or that of an entry of the registry."""
        snapshot = self._registry.snapshot()
        if "/" in name and SPACE_NAME.fullmatch(name) and snapshot.find(name) is None:
            return name
        hub_id = snapshot.get(name).hub_id
        if hub_id is None:
            raise BadRequestError(f"{name} is no Space of the Hub: its registry entry has no `hub_id`")
        return hub_id

    def _note(self, cached_at: float | None) -> str | None:
        age = self._now() - cached_at if cached_at is not None else 0.0
        if age < FRESH_SECONDS:
            return None
        why = "this host asks the Hub nothing" if self._catalogue.offline else "the Hub does not answer now"
        return f"{why}: this is what it said {age_of(age)} ago"

    async def _known(self, space: HubSpace) -> Inspection | None:
        """What is known of it here; that Docker is away is told by those who need it."""
        entry = undescribed(space.id, hub_id=space.id).model_copy(update={"subdomain": space.subdomain})
        with suppress(TimeoutError):
            async with asyncio.timeout(_HOST_SECONDS):
                return await self._inspector.look(entry)
        return None

    async def _image(self, space: HubSpace, here: Image | None, tell: OnProgress) -> HubImage:
        """Where its image is or comes from, in a word (`state`) and in words (`why`)."""
        if here is not None:
            return _image("here", "built here" if here.built else "pulled", here.reference, here.digest)
        if not space.callable_here:
            return _image("none", f"a {space.sdk} Space has no interface to call: it cannot run here")
        name = self._survey.hub_image(space.id, space.subdomain)
        if name is None:
            return _image("to be built", "this host pulls no images of the Hub (images.pull_hub_images)")
        if self._catalogue.offline:
            return _image("not known", "this host asks the Hub nothing")
        tell(f"asking about {name}")
        offer = await self._survey.ask(name, Platform(), space.sha)
        return offered(offer)


def offered(offer: Offer) -> HubImage:
    """What an image registry says of the Hub's image, as the reply has it."""
    if offer.standing is Availability.THERE and offer.fits:
        return _image("to be pulled", "the Hub keeps its image", offer.reference, offer.digest, offer.size)
    if offer.standing is Availability.SILENT:
        return _image("not known", f"its image registry cannot be asked ({offer.why})", offer.reference)
    why = {
        Availability.MISSING: "the Hub keeps no image of it",
        Availability.REFUSED: "the Hub gives its image to others only",
    }.get(offer.standing, "the Hub's image of it is for other machines")
    return _image("to be built", why, offer.reference)


def _image(
    state: str, why: str, reference: str | None = None, digest: str | None = None, size: int | None = None
) -> HubImage:
    return {"state": state, "reference": reference, "digest": digest, "size": size, "why": why}
