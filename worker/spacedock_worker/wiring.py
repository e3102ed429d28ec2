"""The composition root: what a host's parts are, and who answers its jobs and control calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from socket import gethostname
from typing import Any

from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock._wire.rpc import Op
from spacedock.replies.spaces import EndpointSchema
from spacedock.request import OWN_PREFIX
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.binding.explain import described
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.cleanup.cleaner import Cleaner, Housekeeper
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.cleanup.scratch import SCRATCH, Scratch
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.pool.view import PoolView
from spacedock_worker.control.collections.handler import CollectionHandler
from spacedock_worker.control.dispatcher import CallHandler
from spacedock_worker.control.doctor import DoctorHandler
from spacedock_worker.control.finding import RecommendHandler, SearchHandler
from spacedock_worker.control.lock import LockHandler
from spacedock_worker.control.logs import LogsHandler
from spacedock_worker.control.plan import PlanHandler
from spacedock_worker.control.profile import ProfileHandler
from spacedock_worker.control.registry import RegistryHandler
from spacedock_worker.control.show_hub import ShowHubHandler
from spacedock_worker.control.spaces import SpacesHandler, state_of
from spacedock_worker.control.tiers import TiersHandler
from spacedock_worker.control.validate import ValidateHandler
from spacedock_worker.hub.auto_register import AutoRegister, completing
from spacedock_worker.hub.catalogue import Catalogue
from spacedock_worker.images.images import Images
from spacedock_worker.images.oci.survey import Survey
from spacedock_worker.jobs.handler import JobHandler
from spacedock_worker.jobs.inspection import Inspector, fits_of
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.planner import Planner
from spacedock_worker.jobs.run_recorder import RunRecorder
from spacedock_worker.jobs.secrets import Secrets
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.recommend.recommend import Recommender
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.state.image_policy import ImagePolicy
from spacedock_worker.state.image_usage import EndpointStore, ImageUsage
from spacedock_worker.state.space_lock import LockFile
from spacedock_worker.validation.findings import FindingsCollector, HubReader
from spacedock_worker.validation.smoke_test import Trials


class Wiring:
    """A host's parts, put together once; reads the notes.

    `pool_view` is the pool, as far as it can say what it holds; `builds` the network that builds run on;
    `env` the environment in which secrets are looked up. `gpu` says whether the engine's machine has a GPU,
    None where that is not known.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        engine: Engine,
        registry: Registry,
        pool_view: PoolView[Any] | None = None,
        *,
        builds: Network | None = None,
        env: Mapping[str, str] | None = None,
        profiles: ProfileStore | None = None,
        gpu: bool | None = None,
    ) -> None:
        self.settings, self.engine, self.registry, self.pool_view = settings, engine, registry, pool_view
        self.profiles = profiles
        owner, state = settings.containers.instance_id, settings.state_dir
        self.notes = ImageUsage(state, time.time)
        self.endpoints = EndpointStore(state)
        self.lock = LockFile(settings.lock_file, required=settings.lock is not None)
        self.secrets = Secrets(settings.secrets, env or {})
        by_name = self.secrets.by_name(lambda: registry.snapshot().spaces)
        self.images = Images(
            engine, settings.images, self.notes.pulled, builds, self._hub_ids, owner, by_name
        )
        self.policy = ImagePolicy(self.images, self.notes, self.lock, self.endpoints)
        self.inventory = Inventory(engine, owner)
        self.image_cleanup = ImageCleanup(self.inventory, registry, self.notes, self.lock.digests)
        scratch = Scratch(state / SCRATCH, settings.repositories, registry)
        self.cleaner = Cleaner(
            self.inventory, registry, self.notes, self.image_cleanup, scratch, pool_view, files=settings.files
        )
        self.recommender = Recommender(registry, profiles, self._states, lambda: gpu)
        self.catalogue = Catalogue(settings.images, state, time.time)
        self.opener = Opener()

    def jobs(self, redis: Redis, pool: Pool[Adapter], models: ModelRunner) -> JobHandler:
        """Who answers jobs."""
        payloads = Payloads(redis, self.settings.files)
        return JobHandler(redis, payloads, self.engine, self._planner(models), self._spaces(pool), models)

    def calls(self, pool: Pool[Adapter], models: ModelRunner) -> dict[Op, CallHandler]:
        """Who answers which control call."""
        registry, settings, survey = self.registry, self.settings, Survey(self.settings.images)
        entries = RegistryHandler(registry, completing(self.catalogue), self.settings.files)
        spaces = SpacesHandler(
            entries,
            self.inventory,
            self.image_cleanup,
            self.cleaner,
            self.policy,
            pool.view,
            self._endpoints,
            self.profiles,
        )
        inspector = Inspector(self.policy, pool.view)
        plan = PlanHandler(self._planner(models), inspector, self.inventory, settings, self.profiles)
        hub = HubReader(self.catalogue, time.time, token=bool(settings.images.hub_token))
        collector = FindingsCollector(self.engine, settings.containers, inspector, survey, hub, self.secrets)
        lock = LockHandler(registry, self.images, pool, self.opener, self.notes, self.secrets)
        about = ShowHubHandler(registry, self.catalogue, survey, inspector, time.time)
        tiers = TiersHandler(gethostname(), settings, self.engine, registry, self.image_cleanup, pool, models)
        doctor = DoctorHandler(settings, self.engine, registry, models, lambda: pool.view.host_fault)
        trials = Trials(self._spaces(pool))
        collections = CollectionHandler(registry, self.engine, self.notes, self.cleaner.begin_anew)
        table: dict[Op, CallHandler] = {Op.LIST: spaces.look, Op.SHOW: spaces.look}
        if self.profiles is not None:
            memory = settings.containers.memory
            table[Op.PROFILE] = ProfileHandler(registry, self.profiles, memory).answer
        return table | {
            Op.ADD: spaces.add,
            Op.REMOVE: spaces.remove,
            Op.CLEANUP: spaces.clean_up,
            Op.LOCK: lock.answer,
            Op.PULL: spaces.pull,
            Op.RECOMMEND: RecommendHandler(registry, self.recommender, self.image_cleanup).answer,
            Op.LOGS: LogsHandler(registry, self.inventory, self.secrets).answer,
            Op.SEARCH: SearchHandler(registry, self.recommender, self.catalogue).answer,
            Op.ABOUT: about.answer,
            Op.PLAN: plan.answer,
            Op.VALIDATE: ValidateHandler(registry, collector, trials, lambda: datetime.now(UTC)).answer,
            Op.TIERS: tiers.answer,
            Op.DOCTOR: doctor.answer,
            Op.EXPORT: collections.export,
            Op.IMPORT: collections.take_in,
        }

    def housekeeper(self, redis: Redis) -> Housekeeper:
        """The clean-up by the clock."""
        budget = self.settings.images.image_budget
        return Housekeeper(self.cleaner, self.image_cleanup, self.inventory, redis, budget)

    def _planner(self, models: ModelRunner) -> Planner:
        discoverer = AutoRegister(self.registry, self.catalogue)
        return Planner(self.registry, models, self.recommender, partial(fits_of, self.policy), discoverer)

    def _spaces(self, pool: Pool[Adapter]) -> SpaceRunner:
        return SpaceRunner(self.policy, pool, self.opener, self.secrets, RunRecorder(self.profiles))

    def _endpoints(self, name: str) -> list[EndpointSchema]:
        """What the app of a Space can do, as it said when it last ran here. Raises SpaceNotFoundError."""
        entry = self.registry.snapshot().get(name)
        return described(self.policy.last_endpoints()(entry) or (), entry.endpoint, entry.inputs)

    def _hub_ids(self) -> frozenset[str]:
        """The ids of Spaces of the Hub that the registry has, or that an image here was used for."""
        listed = {entry.hub_id or name for name, entry in self.registry.snapshot().spaces.items()}
        used = {note.space for note in self.notes.all() if not note.space.startswith(OWN_PREFIX)}
        return frozenset(one for one in listed | used if "/" in one)

    async def begin_anew(self, spaces: set[str]) -> None:
        """Remove what these Spaces have here, whose code was changed or removed through another host."""
        for space in sorted(spaces):
            await self.cleaner.begin_anew(space, known=True)

    def _states(self) -> dict[str, str]:
        """How warm each Space is that the pool holds."""
        known = self.pool_view.status() if self.pool_view is not None else {}
        return {space: state_of(status, has_image=False) for space, status in known.items()}
