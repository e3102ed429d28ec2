"""What the Hub says of a Space, for its validation."""

from __future__ import annotations

from spacedock_worker.registry.catalogue import Catalogue
from spacedock_worker.registry.hub_errors import HubError, HubRefusedError
from spacedock_worker.upkeep.validation import HubFacts, HubNews


class HubReader:
    """Asks the catalogue; implements `AsksHub`. `token` says that this host has a login at the Hub."""

    def __init__(self, catalogue: Catalogue, *, token: bool) -> None:
        self._catalogue, self._token = catalogue, token

    async def news(self, hub_id: str) -> HubNews:
        """See `AsksHub.news`."""
        try:
            space, _ = await self._catalogue.about(hub_id)
        except HubError as error:
            missing = isinstance(error, HubRefusedError)
            return HubNews(missing=missing, why=str(error), token=self._token)
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
        return HubNews(facts, token=self._token)
