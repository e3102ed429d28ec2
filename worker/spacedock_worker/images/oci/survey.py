"""What image registries say of a Space's image, without getting it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from spacedock_worker.caching import TimedCache
from spacedock_worker.images.oci.client import NotAllowedError, NotAskedError, NotThereError, asking
from spacedock_worker.images.oci.credentials import Keyring
from spacedock_worker.images.oci.manifest import Platform
from spacedock_worker.images.oci.reference import Reference, choose_tag, parse_reference, subdomain_of
from spacedock_worker.images.settings import ImageSettings

_ASK_SECONDS = 8.0
_ASK_AGAIN_SECONDS = 30.0


class Availability(StrEnum):
    """How an image stands in its image registry; `silent` where that could not be asked."""

    THERE = "there"
    MISSING = "missing"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Offer:
    """One image in its image registry: `why` in words where it is not there, with its `tags` if it has any.

    `size` is the bytes of the download. `platforms` is empty, and `size` None, where that is not told;
    `fits` says that there is an image for the platform that was asked about.
    """

    reference: str
    standing: Availability
    why: str = ""
    digest: str | None = None
    size: int | None = None
    platforms: tuple[Platform, ...] = ()
    fits: bool = True
    tags: tuple[str, ...] = ()
    login: bool = False


class Survey:
    """Asks image registries about images; one that does not answer is left alone for 30 s."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings, self._keyring = settings, Keyring(settings)
        self._silent: TimedCache[str] = TimedCache(_ASK_AGAIN_SECONDS)

    def hub_image(self, hub_id: str, subdomain: str | None) -> str | None:
        """The name of the Hub's image of a Space; None where such images are not wanted on this host."""
        if not self._settings.pull_hub_images:
            return None
        return str(Reference(self._settings.hub_registry, subdomain or subdomain_of(hub_id)))

    async def ask(self, name: str, platform: Platform, sha: str | None = None) -> Offer:
        """What its image registry says of the image; never raises for it.

        Of an image of the Hub without a tag, the tag is chosen as a pull would; `sha` is the Space's newest
        commit, where that is known.
        """
        reference = parse_reference(name)
        found = await self._ask(reference, platform)
        ours = reference.registry == self._settings.hub_registry and reference.tag in (None, "latest")
        if found.standing is not Availability.MISSING or not ours or reference.digest is not None:
            return found
        tag = choose_tag(found.tags, sha)
        return found if tag is None else await self._ask(reference.tagged(tag), platform)

    async def _ask(self, reference: Reference, platform: Platform) -> Offer:
        if (why := self._silent.get(reference.registry)) is not None:
            return Offer(str(reference), Availability.SILENT, why)
        own = await self._keyring.find(reference.registry)
        try:
            async with asking(reference, own, self._settings.ca_bundle, _ASK_SECONDS) as asks:
                try:
                    said = await asks.description(reference.wanted, platform)
                except NotThereError as error:
                    return Offer(str(reference), Availability.MISSING, str(error), tags=await asks.tags())
        except NotThereError as error:
            # It has none of that name at all, and so no tags.
            return Offer(str(reference), Availability.MISSING, str(error))
        except NotAllowedError as error:
            return Offer(str(reference), Availability.REFUSED, str(error), login=own is not None)
        except NotAskedError as error:
            self._silent.put(reference.registry, str(error))
            return Offer(str(reference), Availability.SILENT, str(error))
        manifest = said.manifest
        return Offer(
            str(reference),
            Availability.THERE,
            digest=said.digest,
            size=manifest.size if manifest else None,
            platforms=said.platforms,
            fits=manifest is not None or not said.platforms,
        )
