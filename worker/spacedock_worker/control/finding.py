"""The answers to `spacedock spaces search`, `discover` and `recommend`: Spaces for words, and for a task."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from spacedock._wire.rpc import RecommendOptions, SearchOptions
from spacedock.errors import BadRequestError, CategoryNotFoundError
from spacedock.replies.spaces import FoundRow, HubRow, RecommendedRow, RecommendReply, SearchReply
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.errors import StepError
from spacedock_worker.hub.catalogue import Catalogue, Found
from spacedock_worker.hub.space import SPACES, HubSpace
from spacedock_worker.images.hub_errors import HubError
from spacedock_worker.jobs.plan import kind_of
from spacedock_worker.jobs.routing import nothing_fits
from spacedock_worker.recommend.recommend import Recommendation, Recommender
from spacedock_worker.recommend.tasks import TaskReading, analyse
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry

_REASON = 200
_ENGINE_SECONDS = 5.0


class SearchHandler:
    """Searches the registry and the Hub; the registry's answer does not wait for a Hub that is silent."""

    def __init__(self, registry: Registry, recommender: Recommender, catalogue: Catalogue) -> None:
        self._registry, self._recommender, self._catalogue = registry, recommender, catalogue

    async def answer(self, asked: Asked[SearchOptions]) -> SearchReply:
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
        return {
            "here": [_here_row(entry) for entry in here],
            "spaces": [row_of(space, names.get(space.id)) for space in found.spaces],
            "cached_at": found.cached_at,
            "note": found.note,
        }

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


class RecommendHandler:
    """Recommends Spaces of the registry; `snapshot` says which have an image here."""

    def __init__(self, registry: Registry, recommender: Recommender, snapshot: ImageCleanup) -> None:
        self._registry, self._recommender, self._snapshot = registry, recommender, snapshot

    async def answer(self, asked: Asked[RecommendOptions]) -> RecommendReply:
        """The Spaces with their scores and reasons. Raises BadRequestError, CategoryNotFoundError."""
        wanted = asked.options
        if not (wanted.text.strip() or wanted.media_types or wanted.category):
            raise BadRequestError("recommend: say what is to be done, or name a file or a category")
        self._recommender.look()
        # The engine takes as long to tell of its images as the ranking does.
        (category, task, found), images = await asyncio.gather(
            asyncio.to_thread(self._recommended, wanted), self._images()
        )
        return {
            "task": task.title,
            "category": category,
            "spaces": [_row(one, images) for one in found],
            "advice": None if any(one.misfit is None for one in found) else nothing_fits(task),
        }

    def _recommended(
        self, asked: RecommendOptions
    ) -> tuple[str | None, TaskReading, tuple[Recommendation, ...]]:
        category, task = self._understand(asked)
        found = self._recommender.recommend(
            task, asked.limit, category=category, performance_first=asked.performance_first
        )
        return category, task, found

    def _understand(self, asked: RecommendOptions) -> tuple[str | None, TaskReading]:
        known = self._registry.snapshot().known_categories
        named = asked.text.strip().lower().replace(" ", "_").replace("-", "_")
        category = asked.category or (named if named in known else None)
        if category is not None and category not in known:
            raise CategoryNotFoundError(category, known)
        kinds = frozenset(kind_of(media_type) for media_type in asked.media_types)
        task = analyse("" if category == named else asked.text, kinds)
        # Whoever names a category takes what its Spaces give.
        return category, task if category is None else replace(task, wants=frozenset())

    async def _images(self) -> Mapping[str, int]:
        """The bytes of each Space's image; none where the engine does not tell."""
        try:
            async with asyncio.timeout(_ENGINE_SECONDS):
                return await self._snapshot.sizes()
        except (EngineRefusedError, StepError, TimeoutError):
            return {}


def _row(one: Recommendation, images: Mapping[str, int]) -> RecommendedRow:
    entry = one.entry
    return {
        "name": entry.id,
        "hub_id": entry.hub_id,
        "score": round(one.score, 3),
        "category": entry.category,
        "input_type": entry.input_type,
        "output_type": entry.output_type,
        "description": entry.description,
        "state": one.state or ("image only" if entry.id in images else "not here"),
        "reasons": list(one.reasons),
        "fits": one.misfit is None,
    }
