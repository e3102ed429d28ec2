"""What the Hub says of a Space, for its validation."""

from __future__ import annotations

from spacedock_worker.errors import StepError
from spacedock_worker.images import ImageSettings
from spacedock_worker.images.hub import NoSuchSpaceError, about
from spacedock_worker.upkeep.validation import HubFacts, HubNews


class HubReader:
    """Asks the Hub itself, each time; implements `AsksHub`."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings

    async def news(self, hub_id: str) -> HubNews:
        """See `AsksHub.news`."""
        token = bool(self._settings.hub_token)
        try:
            space = await about(hub_id, self._settings)
        except StepError as error:
            return HubNews(missing=isinstance(error, NoSuchSpaceError), why=str(error), token=token)
        facts = HubFacts(
            sdk=space.card.sdk,
            stage=space.stage,
            private=space.private,
            gated=space.gated,
            hardware=space.hardware,
            sha=space.sha,
            subdomain=space.subdomain,
        )
        return HubNews(facts, token=token)
