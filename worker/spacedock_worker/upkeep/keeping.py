"""All that looks after a host, put together from what the worker has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from socket import gethostname

from redis.asyncio import Redis

from spacedock.control import Op
from spacedock.request import OWN_PREFIX
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.opening import Opener
from spacedock_worker.containers import Engine, Pool
from spacedock_worker.containers.status import Holder
from spacedock_worker.desks import Desk
from spacedock_worker.fitting import Fitting
from spacedock_worker.images import Images
from spacedock_worker.images.survey import Survey
from spacedock_worker.model_step import ModelRunner
from spacedock_worker.registry.desk import RegistryDesk
from spacedock_worker.registry.file import Registry
from spacedock_worker.registry.hub.catalogue import Catalogue
from spacedock_worker.registry.hub.catalogue_desk import CatalogueDesk
from spacedock_worker.registry.hub.completing import completing
from spacedock_worker.registry.hub.discoverer import Discoverer
from spacedock_worker.registry.profiling.profiles import ProfileStore
from spacedock_worker.registry.ranking.recommend import Recommender
from spacedock_worker.secrets import Secrets
from spacedock_worker.settings import WorkerSettings
from spacedock_worker.space_step import SpaceRunner
from spacedock_worker.upkeep.about_desk import AboutDesk
from spacedock_worker.upkeep.care import Care
from spacedock_worker.upkeep.cleaner import Cleaner
from spacedock_worker.upkeep.cleanup_desk import CleanupDesk
from spacedock_worker.upkeep.endpoint_notes import EndpointNotes
from spacedock_worker.upkeep.housekeeping import Housekeeper
from spacedock_worker.upkeep.image_shelf import ImageShelf
from spacedock_worker.upkeep.lock import LockFile
from spacedock_worker.upkeep.lock_desk import LockDesk
from spacedock_worker.upkeep.notes import ImageNotes
from spacedock_worker.upkeep.profile_desk import ProfileDesk, forgetting
from spacedock_worker.upkeep.recommend_desk import RecommendDesk
from spacedock_worker.upkeep.scratch import SCRATCH, Scratch
from spacedock_worker.upkeep.spaces_desk import SpacesDesk, state_of
from spacedock_worker.upkeep.stock import Stock
from spacedock_worker.upkeep.tiers_desk import TiersDesk
from spacedock_worker.validation.hub_news import HubReader
from spacedock_worker.validation.inspection import Inspection
from spacedock_worker.validation.trial import Trials
from spacedock_worker.validation.validation_desk import ValidationDesk


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a worker needs of it: the notes and the lock for its jobs, the clean-up, and the desks."""

    settings: WorkerSettings
    registry: Registry
    notes: ImageNotes
    endpoints: EndpointNotes
    lock: LockFile
    stock: Stock
    shelf: ImageShelf
    cleaner: Cleaner
    holder: Holder | None
    recommender: Recommender
    catalogue: Catalogue
    profiles: ProfileStore | None = None

    @property
    def discoverer(self) -> Discoverer:
        """Who finds out about Spaces that jobs name by their Hub ids."""
        return Discoverer(self.registry, self.catalogue)

    @property
    def fitting(self) -> Fitting:
        """Who judges whether an app takes a call before it is started."""
        return Fitting(self.notes, self.endpoints)

    def hub_ids(self) -> frozenset[str]:
        """The ids of Spaces of the Hub that the registry has, or that an image here was used for."""
        listed = {entry.hub_id or name for name, entry in self.registry.shelf().spaces.items()}
        used = {note.space for note in self.notes.all() if not note.space.startswith(OWN_PREFIX)}
        return frozenset(one for one in listed | used if "/" in one)

    @property
    def care(self) -> Care:
        """What jobs do beside their use of images."""
        return Care(self.notes, self.lock, self.endpoints)

    def housekeeper(self, redis: Redis) -> Housekeeper:
        """The clean-up by the clock."""
        return Housekeeper(self.cleaner, self.shelf, self.stock, redis, self.settings.images.image_budget)

    def validating(self, images: Images, pool: Pool[Adapter], spaces: SpaceRunner, secrets: Secrets) -> Desk:
        """Who answers whether a Space can run here."""
        settings = self.settings
        inspection = Inspection(
            self.stock.engine,
            settings.containers,
            images,
            Survey(settings.images),
            HubReader(self.catalogue, time.time, token=bool(settings.images.hub_token)),
            pool,
            self.care,
            secrets,
            self.endpoints,
        )
        return ValidationDesk(self.registry, inspection, Trials(spaces), lambda: datetime.now(UTC)).answer

    def tiers(self, pool: Pool[Adapter], models: ModelRunner) -> Desk:
        """Who answers how everything stands."""
        name, engine = gethostname(), self.stock.engine
        return TiersDesk(name, self.settings, engine, self.registry, self.shelf, pool, models).answer

    def desks(
        self, images: Images, pool: Pool[Adapter], opener: Opener, secrets: Secrets | None = None
    ) -> dict[Op, Desk]:
        """Who answers which control call."""
        known = secrets or Secrets(None, {})
        registry = RegistryDesk(self.registry, self.settings.repositories, completing(self.catalogue))
        spaces = SpacesDesk(registry, self.stock, self.shelf, self.cleaner, self.holder).answer
        lock = LockDesk(self.registry, images, pool, opener, self.notes, known).answer
        table: dict[Op, Desk] = dict.fromkeys((Op.LIST, Op.SHOW, Op.ADD, Op.REMOVE), spaces)
        table |= {Op.CLEANUP: CleanupDesk(self.cleaner).answer, Op.LOCK: lock}
        table |= {Op.RECOMMEND: RecommendDesk(self.registry, self.recommender, self.shelf).answer}
        table |= self._hub_desks(images)
        return table | self._profile_desks(spaces)

    def _hub_desks(self, images: Images) -> dict[Op, Desk]:
        """Those that ask the Hub."""
        survey = Survey(self.settings.images)
        about = AboutDesk(self.registry, self.catalogue, survey, images, self.endpoints, time.time)
        search = CatalogueDesk(self.registry, self.recommender, self.catalogue)
        return {Op.SEARCH: search.answer, Op.ABOUT: about.answer}

    def _profile_desks(self, spaces: Desk) -> dict[Op, Desk]:
        """Those that know profiles; `spaces` removes Spaces."""
        if self.profiles is None:
            return {}
        memory = self.settings.containers.memory
        profile = ProfileDesk(self.registry, self.profiles, memory).answer
        return {Op.PROFILE: profile, Op.REMOVE: forgetting(spaces, self.registry, self.profiles)}


def keeping(
    settings: WorkerSettings,
    engine: Engine,
    registry: Registry,
    holder: Holder | None,
    profiles: ProfileStore | None = None,
    gpu: bool | None = None,
) -> Keeping:
    """Put it together; reads the notes. `holder` is the pool, as far as it can say what it holds.

    Without `profiles` nobody is there who could be asked for them. `gpu` says whether the engine's machine
    has a GPU, None where that is not known.
    """
    notes = ImageNotes(settings.state_dir, time.time)
    lock = LockFile(settings.lock_file, required=settings.lock is not None)
    stock = Stock(engine, settings.containers.instance_id)
    shelf = ImageShelf(stock, registry, notes, lock.digests)
    scratch = Scratch(settings.state_dir / SCRATCH, settings.repositories, registry)
    cleaner = Cleaner(stock, registry, notes, shelf, scratch, holder)
    endpoints = EndpointNotes(settings.state_dir)
    recommender = Recommender(registry, profiles, lambda: states_of(holder), lambda: gpu)
    catalogue = Catalogue(settings.images, settings.state_dir, time.time)
    return Keeping(
        settings=settings,
        registry=registry,
        notes=notes,
        endpoints=endpoints,
        lock=lock,
        stock=stock,
        shelf=shelf,
        cleaner=cleaner,
        holder=holder,
        recommender=recommender,
        catalogue=catalogue,
        profiles=profiles,
    )


def states_of(holder: Holder | None) -> dict[str, str]:
    """How warm each Space is that the pool holds."""
    known = holder.status() if holder is not None else {}
    return {space: state_of(status, has_image=False) for space, status in known.items()}
