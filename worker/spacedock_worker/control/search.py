"""The answers to `spacedock spaces search` and `discover`: what is here, and what the Hub has besides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from spacedock._wire.rpc import Reply, SearchOptions
from spacedock.errors import BadRequestError
from spacedock.replies.spaces import FoundRow, HubRow, SearchReply
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.hub.catalogue import Catalogue, Found
from spacedock_worker.hub.space import SPACES, HubSpace
from spacedock_worker.images.hub_errors import HubError
from spacedock_worker.recommend.recommend import Recommender
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry

_REASON = 200


class SearchHandler:
    """Searches the registry and the Hub; the registry's answer does not wait for a Hub that is silent."""

    def __init__(self, registry: Registry, recommender: Recommender, catalogue: Catalogue) -> None:
        self._registry, self._recommender, self._catalogue = registry, recommender, catalogue

    async def answer(self, asked: Asked[SearchOptions]) -> Reply:
        """Spaces that are `here`, and the `spaces` of the Hub. Raises BadRequestError, HubError."""
        wanted = asked.options
        if not (wanted.query.strip() or wanted.category):
            raise BadRequestError("search: give words to search by, or a category")
        here = await asyncio.to_thread(self._here, wanted)
        found = Found(())
        if wanted.hub:
            asked.on_progress("asking the Hub")
            found = await self._there(wanted, bool(here))
        names = self._names()
        data: SearchReply = {
            "here": [_here_row(entry) for entry in here],
            "spaces": [row_of(space, names.get(space.id)) for space in found.spaces],
            "cached_at": found.cached_at,
            "note": found.note,
        }
        return Reply(data=data)

    def _here(self, asked: SearchOptions) -> Sequence[SpaceEntry]:
        if not asked.query.strip():
            return self._registry.snapshot().in_category(asked.category or "")[: asked.limit]
        return self._recommender.search(asked.query, asked.limit, asked.category)

    async def _there(self, asked: SearchOptions, something_here: bool) -> Found:
        try:
            if asked.query.strip():
                return await self._catalogue.search(asked.query, asked.category, asked.limit)
            return await self._catalogue.discover(asked.category or "", asked.limit)
        except HubError as error:
            if not something_here:
                raise
            return Found((), None, str(error))

    def _names(self) -> dict[str, str]:
        """The registry's names of the Hub's Spaces; of several the first."""
        spaces = self._registry.snapshot().spaces
        return {entry.hub_id: name for name, entry in reversed(list(spaces.items())) if entry.hub_id}


def row_of(space: HubSpace, name: str | None = None) -> HubRow:
    """The Space as JSON; `name` is its name in the registry."""
    row = {
        **SPACES.dump_python((space,), mode="json", exclude={"__all__": {"subdomain", "relevance"}})[0],
        "name": name,
        "last_modified": space.last_modified.isoformat() if space.last_modified else None,
        "reason": space.reason[:_REASON],
    }
    return cast(HubRow, row)


def _here_row(entry: SpaceEntry) -> FoundRow:
    return {
        "name": entry.id,
        "id": entry.hub_id,
        "description": entry.description,
        "category": entry.category,
        "input_type": entry.input_type,
        "output_type": entry.output_type,
        "likes": entry.likes,
    }
