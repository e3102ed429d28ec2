"""All that looks after a host, put together from what the worker has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from socket import gethostname

from redis.asyncio import Redis

from spacedock._wire.rpc import Op
from spacedock.request import OWN_PREFIX
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.cleanup.cleaner import Cleaner
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.cleanup.schedule import Housekeeper
from spacedock_worker.cleanup.scratch import SCRATCH, Scratch
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.pool.view import PoolView
from spacedock_worker.control.cleanup import CleanupHandler
from spacedock_worker.control.dispatcher import Desk
from spacedock_worker.control.lock import LockHandler
from spacedock_worker.control.logs import LogsHandler
from spacedock_worker.control.profile import ProfileHandler, forgetting
from spacedock_worker.control.recommend import RecommendHandler
from spacedock_worker.control.registry import RegistryHandler
from spacedock_worker.control.search import SearchHandler
from spacedock_worker.control.show_hub import ShowHubHandler
from spacedock_worker.control.spaces import SpacesHandler, state_of
from spacedock_worker.control.tiers import TiersHandler
from spacedock_worker.control.validate import ValidateHandler
from spacedock_worker.hub.auto_register import AutoRegister
from spacedock_worker.hub.autofill import completing
from spacedock_worker.hub.catalogue import Catalogue
from spacedock_worker.images.images import Images
from spacedock_worker.images.oci.survey import Survey
from spacedock_worker.jobs.compatibility import Compatibility
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.secrets import Secrets
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.recommend.recommend import Recommender
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.state.endpoints import EndpointStore
from spacedock_worker.state.image_policy import ImagePolicy
from spacedock_worker.state.image_usage import ImageUsage
from spacedock_worker.state.space_lock import LockFile
from spacedock_worker.validation.inspection import HubReader, Inspection
from spacedock_worker.validation.smoke_test import Trials


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a worker needs of it: the notes and the lock for its jobs, the clean-up, and the desks."""

    settings: WorkerSettings
    registry: Registry
    notes: ImageUsage
    endpoints: EndpointStore
    lock: LockFile
    inventory: Inventory
    image_cleanup: ImageCleanup
    cleaner: Cleaner
    pool_view: PoolView | None
    recommender: Recommender
    catalogue: Catalogue
    profiles: ProfileStore | None = None

    @property
    def discoverer(self) -> AutoRegister:
        """Who finds out about Spaces that jobs name by their Hub ids."""
        return AutoRegister(self.registry, self.catalogue)

    @property
    def fitting(self) -> Compatibility:
        """Who judges whether an app takes a call before it is started."""
        return Compatibility(self.notes, self.endpoints)

    def hub_ids(self) -> frozenset[str]:
        """The ids of Spaces of the Hub that the registry has, or that an image here was used for."""
        listed = {entry.hub_id or name for name, entry in self.registry.snapshot().spaces.items()}
        used = {note.space for note in self.notes.all() if not note.space.startswith(OWN_PREFIX)}
        return frozenset(one for one in listed | used if "/" in one)

    @property
    def policy(self) -> ImagePolicy:
        """What jobs do beside their use of images."""
        return ImagePolicy(self.notes, self.lock, self.endpoints)

    async def begin_anew(self, spaces: set[str]) -> None:
        """Remove what these Spaces have here, whose code was changed or removed through another host."""
        for space in sorted(spaces):
            await self.cleaner.begin_anew(space, known=True)

    def housekeeper(self, redis: Redis) -> Housekeeper:
        """The clean-up by the clock."""
        return Housekeeper(
            self.cleaner, self.image_cleanup, self.inventory, redis, self.settings.images.image_budget
        )

    def validating(self, images: Images, pool: Pool[Adapter], spaces: SpaceRunner, secrets: Secrets) -> Desk:
        """Who answers whether a Space can run here."""
        settings = self.settings
        inspection = Inspection(
            self.inventory.engine,
            settings.containers,
            images,
            Survey(settings.images),
            HubReader(self.catalogue, time.time, token=bool(settings.images.hub_token)),
            pool,
            self.policy,
            secrets,
            self.endpoints,
        )
        return ValidateHandler(self.registry, inspection, Trials(spaces), lambda: datetime.now(UTC)).answer

    def tiers(self, pool: Pool[Adapter], models: ModelRunner) -> Desk:
        """Who answers how everything stands."""
        name, engine = gethostname(), self.inventory.engine
        return TiersHandler(
            name, self.settings, engine, self.registry, self.image_cleanup, pool, models
        ).answer

    def desks(
        self, images: Images, pool: Pool[Adapter], opener: Opener, secrets: Secrets | None = None
    ) -> dict[Op, Desk]:
        """Who answers which control call."""
        known = secrets or Secrets(None, {})
        registry = RegistryHandler(self.registry, completing(self.catalogue))
        spaces = SpacesHandler(
            registry, self.inventory, self.image_cleanup, self.cleaner, self.pool_view
        ).answer
        lock = LockHandler(self.registry, images, pool, opener, self.notes, known).answer
        table: dict[Op, Desk] = dict.fromkeys((Op.LIST, Op.SHOW, Op.ADD, Op.REMOVE), spaces)
        table |= {Op.CLEANUP: CleanupHandler(self.cleaner).answer, Op.LOCK: lock}
        table |= {Op.RECOMMEND: RecommendHandler(self.registry, self.recommender, self.image_cleanup).answer}
        table |= {Op.LOGS: LogsHandler(self.registry, self.inventory, known).answer}
        table |= self._hub_desks(images)
        return table | self._profile_desks(spaces)

    def _hub_desks(self, images: Images) -> dict[Op, Desk]:
        """Those that ask the Hub."""
        survey = Survey(self.settings.images)
        about = ShowHubHandler(self.registry, self.catalogue, survey, images, self.endpoints, time.time)
        search = SearchHandler(self.registry, self.recommender, self.catalogue)
        return {Op.SEARCH: search.answer, Op.ABOUT: about.answer}

    def _profile_desks(self, spaces: Desk) -> dict[Op, Desk]:
        """Those that know profiles; `spaces` removes Spaces."""
        if self.profiles is None:
            return {}
        memory = self.settings.containers.memory
        profile = ProfileHandler(self.registry, self.profiles, memory).answer
        return {Op.PROFILE: profile, Op.REMOVE: forgetting(spaces, self.registry, self.profiles)}


def build(
    settings: WorkerSettings,
    engine: Engine,
    registry: Registry,
    pool_view: PoolView | None,
    profiles: ProfileStore | None = None,
    gpu: bool | None = None,
) -> Wiring:
    """Put it together; reads the notes. `pool_view` is the pool, as far as it can say what it holds.

    Without `profiles` nobody is there who could be asked for them. `gpu` says whether the engine's machine
    has a GPU, None where that is not known.
    """
    notes = ImageUsage(settings.state_dir, time.time)
    lock = LockFile(settings.lock_file, required=settings.lock is not None)
    inventory = Inventory(engine, settings.containers.instance_id)
    image_cleanup = ImageCleanup(inventory, registry, notes, lock.digests)
    scratch = Scratch(settings.state_dir / SCRATCH, settings.repositories, registry)
    cleaner = Cleaner(inventory, registry, notes, image_cleanup, scratch, pool_view)
    endpoints = EndpointStore(settings.state_dir)
    recommender = Recommender(registry, profiles, lambda: states_of(pool_view), lambda: gpu)
    catalogue = Catalogue(settings.images, settings.state_dir, time.time)
    return Wiring(
        settings=settings,
        registry=registry,
        notes=notes,
        endpoints=endpoints,
        lock=lock,
        inventory=inventory,
        image_cleanup=image_cleanup,
        cleaner=cleaner,
        pool_view=pool_view,
        recommender=recommender,
        catalogue=catalogue,
        profiles=profiles,
    )


def states_of(pool_view: PoolView | None) -> dict[str, str]:
    """How warm each Space is that the pool holds."""
    known = pool_view.status() if pool_view is not None else {}
    return {space: state_of(status, has_image=False) for space, status in known.items()}
