"""What the Hub says of a Space, as a validation wants to know it."""

from __future__ import annotations

from collections.abc import Callable

from spacedock_worker.registry.hub.catalogue import FRESH_SECONDS, Catalogue, age_of
from spacedock_worker.registry.hub.errors import HubError, HubRefusedError
from spacedock_worker.validation.validation import HubFacts, HubNews


class HubReader:
    """Asks the catalogue, which also knows the secrets that a Space speaks of; implements `AsksHub`.

    `now` gives seconds since the epoch; `token` says that this host has a login at the Hub.
    """

    def __init__(self, catalogue: Catalogue, now: Callable[[], float], *, token: bool) -> None:
        self._catalogue, self._now, self._token = catalogue, now, token

    async def news(self, hub_id: str) -> HubNews:
        """See `AsksHub.news`."""
        try:
            space, at = await self._catalogue.about(hub_id)
        except HubError as error:
            return HubNews(missing=isinstance(error, HubRefusedError), why=str(error), token=self._token)
        facts = HubFacts(
            sdk=space.sdk,
            stage=space.stage,
            private=space.private,
            gated=space.gated,
            hardware=space.hardware,
            secrets=space.secrets,
            sha=space.sha,
            subdomain=space.subdomain,
        )
        old = 0.0 if at is None else self._now() - at
        if old <= FRESH_SECONDS:
            return HubNews(facts, token=self._token)
        why = f"the Hub could not be asked; what is known of the Space is {age_of(old)} old"
        return HubNews(facts, stale=True, why=why, token=self._token)
