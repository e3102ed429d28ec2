"""The answers to `spacedock spaces recommend`: which Spaces suit a task here, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from spacedock._wire.rpc import RecommendOptions, Reply
from spacedock.errors import BadRequestError, CategoryNotFoundError
from spacedock.replies.spaces import RecommendedRow, RecommendReply
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.plan import kind_of
from spacedock_worker.jobs.routing import nothing_fits
from spacedock_worker.recommend.recommend import Recommendation, Recommender
from spacedock_worker.recommend.tasks import TaskReading, analyse
from spacedock_worker.registry.registry import Registry

_ENGINE_SECONDS = 5.0


class RecommendHandler:
    """Recommends Spaces of the registry; `snapshot` says which have an image here."""

    def __init__(self, registry: Registry, recommender: Recommender, snapshot: ImageCleanup) -> None:
        self._registry, self._recommender, self._snapshot = registry, recommender, snapshot

    async def answer(self, asked: Asked[RecommendOptions]) -> Reply:
        """The Spaces with their scores and reasons. Raises BadRequestError, CategoryNotFoundError."""
        wanted = asked.options
        if not (wanted.text.strip() or wanted.media_types or wanted.category):
            raise BadRequestError("recommend: say what is to be done, or name a file or a category")
        self._recommender.look()
        # The engine takes as long to tell of its images as the ranking does.
        (category, task, found), images = await asyncio.gather(
            asyncio.to_thread(self._recommended, wanted), self._images()
        )
        data: RecommendReply = {
            "task": task.title,
            "category": category,
            "spaces": [_row(one, images) for one in found],
            "advice": None if any(one.misfit is None for one in found) else nothing_fits(task),
        }
        return Reply(data=data)

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
