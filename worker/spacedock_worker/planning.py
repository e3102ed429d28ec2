"""Who may answer a job on this host, looked up and laid out as a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spacedock.errors import BadRequestError, CategoryNotFoundError, SpaceNotFoundError
from spacedock.request import JobRequest, Tier
from spacedock_worker.model_step import ModelRunner, option_of
from spacedock_worker.models import ModelEndpoint
from spacedock_worker.plan import UNKNOWN, Plan, plan
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.file import Registry


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who may answer: the Space that was asked for, and the others that share its category."""

    chosen: SpaceEntry | None
    alternates: tuple[SpaceEntry, ...]


@dataclass(frozen=True, slots=True)
class Laid:
    """A job's plan, the Space that was asked for, and the models of the plan by name."""

    plan: Plan
    chosen: SpaceEntry | None
    models: Mapping[str, ModelEndpoint]


class Planner:
    """Lays out jobs with the registry and the models of this host."""

    def __init__(self, registry: Registry, models: ModelRunner) -> None:
        self._registry, self._models = registry, models

    async def lay(self, request: JobRequest) -> Laid:
        """The job's plan.

        Raises SpaceNotFoundError for a name that is neither here nor a Hub id, CategoryNotFoundError for a
        category without a Space, BadRequestError where a Space must answer and none can be meant.
        """
        candidates = candidates_for(request, self._registry)
        if request.tier is Tier.HEAVY and not (candidates.chosen or candidates.alternates):
            raise BadRequestError("the tier heavy needs a Space: name one, or a category that has some")
        models = await self._models.endpoints()
        options = [option_of(endpoint) for endpoint in models.values()]
        laid = plan(request, candidates.chosen, candidates.alternates, options)
        return Laid(laid, candidates.chosen, models)


def candidates_for(request: JobRequest, registry: Registry) -> Candidates:
    """Look up who may answer.

    Raises SpaceNotFoundError for a name that is neither here nor a Hub id, CategoryNotFoundError for a
    category without a Space.
    """
    shelf = registry.shelf()
    if request.repository is not None:
        name = request.repository.name.removesuffix(".tar")
        return Candidates(undescribed(name), _of_category(request, registry))
    if request.space is None:
        return Candidates(None, _of_category(request, registry))
    if request.space in shelf.spaces:
        return Candidates(shelf.get(request.space), shelf.alternates(request.space))
    if "/" in request.space:
        return Candidates(undescribed(request.space, hub_id=request.space), _of_category(request, registry))
    raise SpaceNotFoundError(request.space, tuple(sorted(shelf.spaces)))


def undescribed(name: str, hub_id: str | None = None) -> SpaceEntry:
    """A Space that no registry describes: what it takes and gives shows when it runs."""
    return SpaceEntry(id=name, hub_id=hub_id, input_type=UNKNOWN, output_type=UNKNOWN)


def _of_category(request: JobRequest, registry: Registry) -> tuple[SpaceEntry, ...]:
    if not request.category:
        return ()
    found = registry.shelf().in_category(request.category)
    if not found:
        raise CategoryNotFoundError(request.category, registry.shelf().known_categories)
    return found
