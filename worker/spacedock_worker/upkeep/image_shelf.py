"""The images of Spaces on this host: which are ours, which are needed, and removing those that are not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from spacedock.control import OnProgress
from spacedock_worker.containers.engine import RefusedError
from spacedock_worker.images.reference import BUILT_PREFIX, familiar
from spacedock_worker.registry.file import Registry
from spacedock_worker.upkeep.image_choice import Candidate, current, steps, to_free, unneeded
from spacedock_worker.upkeep.layers import Layer, weight
from spacedock_worker.upkeep.notes import ImageNote, ImageNotes
from spacedock_worker.upkeep.report import Report
from spacedock_worker.upkeep.stock import Stock, StockImage


class ImageShelf:
    """Our images among the engine's: those that this daemon has noted, and built or pulled itself.

    A label alone is not enough: another daemon on the engine may have built the image. `locked` are the
    digests that the lock file asks for: an image that was built cannot be had again.
    """

    def __init__(
        self, stock: Stock, registry: Registry, notes: ImageNotes, locked: Callable[[], Collection[str]]
    ) -> None:
        self._stock, self._registry, self._notes, self._locked = stock, registry, notes, locked

    async def bytes(self) -> int:
        """What our images take on this host, shared layers counted once."""
        ours = {image.id: image for image in await self._stock.images() if self._is_ours(image)}
        layers = await self._stock.layers(tuple(ours.values()))
        return weight(layers, [image for image in ours if image in layers])

    async def sizes(self) -> Mapping[str, int]:
        """The bytes of each Space's present image, shared layers counted in full."""
        images = await self._stock.images()
        sizes, used = {image.id: image.size for image in images}, self._last_uses(images)
        found = {name: sizes[max(ids, key=used.__getitem__)] for name, ids in self._by_space(images).items()}
        return found | {name: sizes[image] for name, image in self._named(images).items() if image}

    async def clean(self, report: Report, before: float, need: int | None, tell: OnProgress) -> None:
        """Remove images that nothing has used since `before`: as many as free `need` bytes, or (None) all
        that no container and no Space of the registry uses.
        """
        images = await self._stock.images()
        layers = await self._stock.layers(images)
        candidates = [one for one in await self._candidates(images) if one.id in layers]
        chosen = unneeded(candidates, before) if need is None else to_free(candidates, layers, need, before)
        await self._remove(report, {image.id: image for image in images}, layers, chosen, tell)

    async def _remove(
        self,
        report: Report,
        images: Mapping[str, StockImage],
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
                    await self._stock.remove_image(images[one])
            except RefusedError as error:
                left.add(one)
                report.left.append(f"image {name}: {error.message}")
        sizes = dict(steps(layers, [one for one in chosen if one not in left]))
        for one, size in sizes.items():
            report.add("images", size, images[one].tags[0] if images[one].tags else one)
        if sizes and not report.dry_run:
            gone = {normal(reference) for one in sizes for reference in images[one].tags}
            await self._notes.forget(lambda note: normal(note.reference) not in gone)

    async def _candidates(self, images: Sequence[StockImage]) -> list[Candidate]:
        used = self._last_uses(images)
        running = {container.image for container in await self._stock.containers()}
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

    def _is_ours(self, image: StockImage) -> bool:
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

    def _last_uses(self, images: Sequence[StockImage]) -> dict[str, float]:
        """When each image was last used; where that was never noted, when it was made."""
        notes = self._notes.all()
        return {
            image.id: max([note.last_used for note in notes if _same(note, image)], default=image.created)
            for image in images
        }

    def _named(self, images: Sequence[StockImage]) -> dict[str, str | None]:
        """The Spaces of the registry, each with the id of the image that its entry names."""
        ids = {normal(tag): image.id for image in images for tag in image.tags}
        spaces = self._registry.shelf().spaces.values()
        return {e.id: ids.get(normal(e.docker_image)) if e.docker_image else None for e in spaces}

    def _by_space(self, images: Sequence[StockImage]) -> dict[str, set[str]]:
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


def _same(note: ImageNote, image: StockImage) -> bool:
    return note.digest == image.id or note.digest in image.digests
