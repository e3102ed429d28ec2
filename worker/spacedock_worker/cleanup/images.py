"""The images of Spaces on this host: which are ours, which are needed, and removing those that are not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from spacedock._wire.rpc import OnProgress
from spacedock_worker.cleanup.inventory import Inventory, InventoryImage, Layer, freed, weight
from spacedock_worker.cleanup.report import Report
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.images.oci.reference import BUILT_PREFIX, familiar
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.image_usage import ImageRecord, ImageUsage


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that we built or pulled for a Space.

    `last_used` is in seconds since the epoch. `held` says that a container has it, or that it cannot be had
    again (a lock or a bundle has it); `listed` that a Space of the registry would use it.
    """

    id: str
    last_used: float
    held: bool = False
    listed: bool = False


def unneeded(candidates: Sequence[Candidate], before: float) -> tuple[str, ...]:
    """The images that nothing uses and nothing has used since `before`; the longest unused first."""
    return tuple(
        one.id
        for one in _oldest_first(candidates)
        if not one.listed and not one.held and one.last_used < before
    )


def to_free(
    candidates: Sequence[Candidate], images: Mapping[str, Sequence[Layer]], need: int, before: float
) -> tuple[str, ...]:
    """The images to remove so that `need` bytes become free, or all that may go where that is not enough.

    Those that no Space of the registry uses go first, each kind in the order of its last use; none that is
    held or was used since `before`. `images` are the layers of all images of the engine.
    """
    free = [one for one in _oldest_first(candidates) if not one.held and one.last_used < before]
    chosen: list[str] = []
    for one in sorted(free, key=lambda one: one.listed):
        if freed(images, chosen) >= need:
            break
        chosen.append(one.id)
    return tuple(chosen)


def steps(images: Mapping[str, Sequence[Layer]], chosen: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each chosen image with the bytes that go with it, once those before it are gone."""
    gone: list[str] = []
    for one in chosen:
        before = freed(images, gone)
        gone.append(one)
        yield one, freed(images, gone) - before


def current(
    spaces: Mapping[str, str | None], built: Mapping[str, Collection[str]], used: Mapping[str, float]
) -> frozenset[str]:
    """The images that Spaces of the registry would use.

    `spaces` are their names with the image that each names, by its id (None: it is built); `built` are the
    ids of the images that were built or used for a name, `used` is when each was used last. Of several for
    one name the last counts: the others are its past.
    """
    named = {image for image in spaces.values() if image is not None}
    last = [max(built[name], key=lambda one: used.get(one, 0.0)) for name in spaces if built.get(name)]
    return frozenset(named.union(last))


def _oldest_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: (one.last_used, one.id))


class ImageCleanup:
    """Our images among the engine's: those that this daemon has noted, and built or pulled itself.

    A label alone is not enough: another daemon on the engine may have built the image. `locked` are the
    digests that the lock file asks for: an image that was built cannot be had again.
    """

    def __init__(
        self,
        inventory: Inventory,
        registry: Registry,
        notes: ImageUsage,
        locked: Callable[[], Collection[str]],
    ) -> None:
        self._inventory, self._registry, self._notes, self._locked = inventory, registry, notes, locked

    async def bytes(self) -> int:
        """What our images take on this host, shared layers counted once."""
        ours = {image.id: image for image in await self._inventory.images() if self._is_ours(image)}
        layers = await self._inventory.layers(tuple(ours.values()))
        return weight(layers, [image for image in ours if image in layers])

    async def sizes(self) -> Mapping[str, int]:
        """The bytes of each Space's present image, shared layers counted in full."""
        images = await self._inventory.images()
        sizes, used = {image.id: image.size for image in images}, self._last_uses(images)
        found = {name: sizes[max(ids, key=used.__getitem__)] for name, ids in self._by_space(images).items()}
        return found | {name: sizes[image] for name, image in self._named(images).items() if image}

    async def clean(self, report: Report, before: float, need: int | None, tell: OnProgress) -> None:
        """Remove images that nothing has used since `before`: as many as free `need` bytes, or (None) all
        that no container and no Space of the registry uses.
        """
        images = await self._inventory.images()
        layers = await self._inventory.layers(images)
        candidates = [one for one in await self._candidates(images) if one.id in layers]
        chosen = unneeded(candidates, before) if need is None else to_free(candidates, layers, need, before)
        await self._remove(report, {image.id: image for image in images}, layers, chosen, tell)

    async def _remove(
        self,
        report: Report,
        images: Mapping[str, InventoryImage],
        layers: Mapping[str, Sequence[Layer]],
        chosen: Sequence[str],
        tell: OnProgress,
    ) -> None:
        left: set[str] = set()
        for one in chosen:
            name = images[one].tags[0] if images[one].tags else one
            tell(f"removing {name}")
            try:
                if not report.dry_run:
                    await self._inventory.remove_image(images[one])
            except EngineRefusedError as error:
                left.add(one)
                report.left.append(f"image {name}: {error.message}")
        sizes = dict(steps(layers, [one for one in chosen if one not in left]))
        for one, size in sizes.items():
            report.add("images", size, images[one].tags[0] if images[one].tags else one)
        if sizes and not report.dry_run:
            gone = {normal(reference) for one in sizes for reference in images[one].tags}
            await self._notes.forget(lambda note: normal(note.reference) not in gone)

    async def _candidates(self, images: Sequence[InventoryImage]) -> list[Candidate]:
        used = self._last_uses(images)
        running = {container.image for container in await self._inventory.containers()}
        listed = current(self._named(images), self._by_space(images), used)
        # Images of bundles cannot be had again, so they stay as long as their Space does.
        bundled, locked = set(self._notes.bundled().values()), self._locked()
        return [
            Candidate(
                id=image.id,
                last_used=used[image.id],
                held=image.id in running
                or not {image.id, *image.digests}.isdisjoint(locked)
                or (image.id in bundled and image.id in listed),
                listed=image.id in listed,
            )
            for image in images
            if self._is_ours(image)
        ]

    def _is_ours(self, image: InventoryImage) -> bool:
        """Whether we made or fetched it, and nobody has given it a name of his own since.

        The label is inherited by what others build on an image of ours, so their names are looked at too.
        """
        notes = [note for note in self._notes.all() if _same(note, image)]
        built = image.built_for is not None and all(
            familiar(tag).startswith(BUILT_PREFIX) for tag in image.tags
        )
        if built and notes and image.tags:
            return True
        pulled = {normal(note.reference) for note in notes if note.pulled}
        return bool(pulled) and all(normal(tag) in pulled for tag in image.tags)

    def _last_uses(self, images: Sequence[InventoryImage]) -> dict[str, float]:
        """When each image was last used; where that was never noted, when it was made."""
        notes = self._notes.all()
        return {
            image.id: max([note.last_used for note in notes if _same(note, image)], default=image.created)
            for image in images
        }

    def _named(self, images: Sequence[InventoryImage]) -> dict[str, str | None]:
        """The Spaces of the registry, each with the id of the image that its entry names."""
        ids = {normal(tag): image.id for image in images for tag in image.tags}
        spaces = self._registry.snapshot().spaces.values()
        return {e.id: ids.get(normal(e.docker_image)) if e.docker_image else None for e in spaces}

    def _by_space(self, images: Sequence[InventoryImage]) -> dict[str, set[str]]:
        """The images of each Space: built for it, or used for it."""
        found: dict[str, set[str]] = {}
        for image in images:
            for space in (image.built_for, *(n.space for n in self._notes.all() if _same(n, image))):
                if space:
                    found.setdefault(space, set()).add(image.id)
        return found


def normal(reference: str) -> str:
    """The familiar reference with its tag, which is `latest` where none is given."""
    name = familiar(reference)
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def _same(note: ImageRecord, image: InventoryImage) -> bool:
    return note.digest == image.id or note.digest in image.digests
