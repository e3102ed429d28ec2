"""Who may answer a job on this host, looked up and laid out as a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from spacedock.errors import BadRequestError, CategoryNotFoundError, SpaceNotFoundError
from spacedock.request import JobRequest, Tier
from spacedock_worker.hub.auto_register import AutoRegister
from spacedock_worker.hub.categories import SURE
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.plan import UNKNOWN, Fits, Plan, kinds_of, plan
from spacedock_worker.jobs.routing import Route, needs_ranking, route
from spacedock_worker.jobs.space_spec import OwnSpace
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.queue.patience import through_outages
from spacedock_worker.recommend.recommend import Recommendation, Recommender
from spacedock_worker.recommend.tasks import analyse
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry
from spacedock_worker.registry.snapshot import Snapshot

_WHOLE_CATEGORY = 30
"""How many Spaces of a category are looked at, the best first."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who may answer: the Space that was asked for, and others in the order in which they would be asked.

    `reasons` say why of the others, by name; `route` is there where the job named neither Space nor category.
    """

    chosen: SpaceEntry | None
    alternates: tuple[SpaceEntry, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job's plan, the Space that was asked for, the models of the plan by name, and the route to its tier.

    There is a route where the job named neither a Space nor a category.
    """

    plan: Plan
    chosen: SpaceEntry | None
    models: Mapping[str, ModelEndpoint]
    route: Route | None = None


class Planner:
    """Lays out jobs with the registry and the models of this host.

    `fits_of` gives for a job what its Spaces' apps, as far as they are known, have against its call;
    `discoverer` finds out about Spaces that are named by their Hub ids (None: nobody does).
    """

    def __init__(
        self,
        registry: Registry,
        models: ModelRunner,
        recommender: Recommender,
        fits_of: Callable[[JobRequest], Fits],
        discoverer: AutoRegister | None = None,
    ) -> None:
        self._registry, self._models = registry, models
        self._recommender, self._fits_of = recommender, fits_of
        self._discoverer = discoverer

    async def plan(self, request: JobRequest, *, keep: bool = True) -> PlannedJob:
        """The job's plan; with `keep` the registry remembers a Space that is discovered for it.

        Raises SpaceNotFoundError for a name that is neither here nor a Hub id, CategoryNotFoundError for a
        category without a Space, BadRequestError where a Space must answer and none fits.
        """
        snapshot = await self._registry.fresh()
        if request.space is not None and request.space not in snapshot.spaces:
            # Another host may have added it a moment ago.
            await through_outages(self._registry.caught_up)
        self._recommender.look()
        found = await self._discovered(request, keep)
        candidates = await self._candidates(request, found)
        if request.tier is Tier.HEAVY and not (candidates.chosen or candidates.alternates):
            why = candidates.route.reasons[-1] if candidates.route else "name one"
            raise BadRequestError(f"the tier heavy needs a Space, and {why}")
        models = await self._models.endpoints()
        planned = plan(
            request,
            candidates.chosen,
            candidates.alternates,
            tuple(models.values()),
            fits=self._fits_of(request),
            reasons=candidates.reasons,
        )
        return PlannedJob(planned, candidates.chosen, models, candidates.route)

    async def _discovered(self, request: JobRequest, keep: bool) -> SpaceEntry | None:
        if self._discoverer is None or request.space is None or "/" not in request.space:
            return None
        return await self._discoverer.find(request.space, keep=keep)

    async def _candidates(self, request: JobRequest, found: SpaceEntry | None) -> Candidates:
        """`candidates_for`; what a large registry has to index and to rank keeps no other job waiting."""
        look = partial(candidates_for, request, self._registry, self._recommender, found)
        named = request.space is not None or request.repository is not None
        if named and request.category is None and self._recommender.is_ready:
            return look()
        return await asyncio.to_thread(look)


def candidates_for(
    request: JobRequest,
    registry: Registry,
    recommender: Recommender,
    discovered: SpaceEntry | None = None,
) -> Candidates:
    """Look up who may answer; `discovered` is what was found out about the Hub's Space that is named.

    Raises SpaceNotFoundError for a name that is neither here nor a Hub id, CategoryNotFoundError for a
    category without a Space, BadRequestError for a Space whose entry cannot be used.
    """
    snapshot = registry.snapshot()
    if request.repository is not None:
        own = OwnSpace.of(request.repository)
        return Candidates(own, _of_category(request, registry, recommender))
    if request.space is None:
        if request.category:
            return Candidates(None, _of_category(request, registry, recommender))
        return _routed(request, snapshot, recommender)
    known = snapshot.find(request.space) or discovered
    if known is not None and (known.confidence is None or known.confidence >= SURE):
        return Candidates(known, recommender.fellows(known, kinds_of(request)))
    if known is not None:
        # What it does is not known well enough to say who could stand in for it.
        return Candidates(known, _of_category(request, registry, recommender))
    if "/" in request.space:
        chosen = undescribed(request.space, hub_id=request.space)
        return Candidates(chosen, _of_category(request, registry, recommender))
    raise SpaceNotFoundError(request.space, tuple(sorted(snapshot.spaces)))


def undescribed(name: str, hub_id: str | None = None) -> SpaceEntry:
    """A Space that no registry describes: what it takes and gives shows when it runs."""
    return SpaceEntry(id=name, hub_id=hub_id, input_type=UNKNOWN, output_type=UNKNOWN)


def _of_category(request: JobRequest, registry: Registry, recommender: Recommender) -> tuple[SpaceEntry, ...]:
    """The Spaces of the category: those that fit, ranked, then the others, which the plan skips."""
    if not request.category:
        return ()
    snapshot = registry.snapshot()
    found = [one for one in snapshot.in_category(request.category) if snapshot.may_stand_in(one)]
    if not found:
        known = [one for one in snapshot.known_categories if one != request.category]
        raise CategoryNotFoundError(request.category, tuple(known))
    # Whoever names a category wants what its Spaces give, whatever the words of the prompt are about.
    task = replace(analyse(request.prompt, kinds_of(request)), wants=frozenset())
    ranked = recommender.ranked(task, category=request.category, performance_first=request.performance_first)
    offered = (one.entry for one in ranked if snapshot.may_stand_in(one.entry))
    ordered = {entry.id: entry for entry in (*offered, *found)}
    return tuple(ordered.values())[:_WHOLE_CATEGORY]


def _routed(request: JobRequest, snapshot: Snapshot, recommender: Recommender) -> Candidates:
    """Who may answer a job that names nothing: those whom its words and files lead to."""
    task = analyse(request.prompt, kinds_of(request))
    ranked: tuple[Recommendation, ...] = ()
    if needs_ranking(request, task):
        found = recommender.ranked(task, performance_first=request.performance_first)
        ranked = tuple(one for one in found if snapshot.may_stand_in(one.entry))
    way = route(request, task, ranked)
    reasons = {one.entry.id: "; ".join(one.reasons[:2]) for one in way.ranked}
    return Candidates(None, tuple(one.entry for one in way.ranked), reasons, way)
