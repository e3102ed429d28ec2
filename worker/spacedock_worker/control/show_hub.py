"""The answer to `spacedock spaces show user/space`: what the Hub says, and what this host has of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from spacedock._wire.rpc import OnProgress, Options, Reply
from spacedock.errors import BadRequestError
from spacedock.request import SPACE_NAME
from spacedock_worker.adapters.endpoint import Endpoint, signature
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.control.search import row_of
from spacedock_worker.errors import StepError
from spacedock_worker.hub.auto_register import listed
from spacedock_worker.hub.catalogue import FRESH_SECONDS, Catalogue, age_of
from spacedock_worker.hub.space import HubSpace
from spacedock_worker.images.oci.manifest import Platform
from spacedock_worker.images.oci.survey import Availability, Offer
from spacedock_worker.images.source import Image, SpaceSource
from spacedock_worker.registry.registry import Registry

_HOST_SECONDS = 5.0
_MOST_ENDPOINTS = 50


class Surveys(Protocol):
    """Whoever asks image registries."""

    def hub_image(self, hub_id: str, subdomain: str | None) -> str | None:
        """The name of the Hub's image of a Space; None where such images are not wanted on this host."""
        ...

    async def ask(self, name: str, platform: Platform, sha: str | None = None) -> Offer:
        """What its image registry says of the image; never raises for it."""
        ...


class HasImages(Protocol):
    """Whoever knows the images of this host."""

    async def here(self, source: SpaceSource) -> Image | None:
        """The Space's image on this host; raises StepError and RefusedError."""
        ...


class KnowsEndpoints(Protocol):
    """Whoever remembers what apps can do."""

    def get(self, digest: str) -> tuple[Endpoint, ...] | None:
        """The endpoints of the image's app; None where it has not run here."""
        ...


class ShowHubHandler:
    """Tells of Spaces of the Hub, whether the registry has them or not."""

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        survey: Surveys,
        images: HasImages,
        endpoints: KnowsEndpoints,
        now: Callable[[], float],
    ) -> None:
        self._registry, self._catalogue = registry, catalogue
        self._survey, self._images, self._endpoints, self._now = survey, images, endpoints, now

    async def answer(self, asked: Asked[Options]) -> Reply:
        """The Space, its image and its endpoints. Raises BadRequestError, SpaceNotFoundError, HubError."""
        hub_id = self._hub_id(asked.call.name or "")
        asked.on_progress("asking the Hub")
        space, cached_at = await self._catalogue.about(hub_id)
        here = await self._here(space)
        entry = listed(self._registry, hub_id)
        data = {
            "space": row_of(space, entry.id if entry else None),
            "cached_at": cached_at,
            "note": self._note(cached_at),
            "image": await self._image(space, here, asked.on_progress),
            "endpoints": self._known(here),
        }
        return Reply(data=data)

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

    async def _here(self, space: HubSpace) -> Image | None:
        source = SpaceSource(space.id, hub_id=space.id, subdomain=space.subdomain)
        try:
            async with asyncio.timeout(_HOST_SECONDS):
                return await self._images.here(source)
        except (StepError, EngineRefusedError, TimeoutError):
            # That Docker is away is told by those who need it.
            return None

    async def _image(self, space: HubSpace, here: Image | None, tell: OnProgress) -> dict[str, Any]:
        """Where its image is or comes from, in a word (`state`) and in words (`why`)."""
        if here is not None:
            row = {"state": "here", "reference": here.reference, "digest": here.digest}
            return row | {"size": None, "why": "built here" if here.built else "pulled"}
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

    def _known(self, here: Image | None) -> list[str]:
        endpoints = self._endpoints.get(here.digest) if here is not None else None
        return list(signature(endpoints or ()))[:_MOST_ENDPOINTS]


def offered(offer: Offer) -> dict[str, Any]:
    """What an image registry says of the Hub's image, as the reply has it."""
    if offer.standing is Availability.THERE and offer.fits:
        row = {"state": "to be pulled", "reference": offer.reference, "digest": offer.digest}
        return row | {"size": offer.size, "why": "the Hub keeps its image"}
    if offer.standing is Availability.SILENT:
        return _image("not known", f"its image registry cannot be asked ({offer.why})", offer.reference)
    why = {
        Availability.MISSING: "the Hub keeps no image of it",
        Availability.REFUSED: "the Hub gives its image to others only",
    }.get(offer.standing, "the Hub's image of it is for other machines")
    return _image("to be built", why, offer.reference)


def _image(state: str, why: str, reference: str | None = None) -> dict[str, Any]:
    return {"state": state, "reference": reference, "digest": None, "size": None, "why": why}
