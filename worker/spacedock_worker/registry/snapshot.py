"""What a registry holds at one moment: its Spaces, its categories, and what could not be read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock_worker.registry.entry import SpaceEntry, Verdict


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Spaces by name, names by category, and warnings in words; immutable."""

    spaces: Mapping[str, SpaceEntry]
    categories: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()

    def find(self, name: str) -> SpaceEntry | None:
        """The Space of that name, if there is one.

        Raises BadRequestError where its entry was left out, which says what is wrong with it.
        """
        if name in self.spaces:
            return self.spaces[name]
        fault = next((warning for warning in self.warnings if f" spaces.{name}: " in warning), None)
        if fault is not None:
            raise BadRequestError(f"the registry's entry of '{name}' cannot be used: {fault}")
        return None

    def get(self, name: str) -> SpaceEntry:
        """The Space of that name. Raises as `find`, and SpaceNotFoundError with those that there are."""
        entry = self.find(name)
        if entry is None:
            raise SpaceNotFoundError(name, tuple(sorted(self.spaces)))
        return entry

    def in_category(self, category: str) -> tuple[SpaceEntry, ...]:
        """The Spaces of a category: those that its list names, in its order, then those that name it."""
        listed = [name for name in self.categories.get(category, ()) if name in self.spaces]
        naming = [name for name, entry in self.spaces.items() if entry.category == category]
        return tuple(self.spaces[name] for name in dict.fromkeys([*listed, *naming]))

    def may_stand_in(self, entry: SpaceEntry) -> bool:
        """Whether jobs that did not name the Space may come to it.

        One that was only discovered may not: whoever names it first would have others' prompts sent there.
        Somebody has to list it, or a validation to find that it works.
        """
        if not entry.discovered or (isinstance(entry.verified, Verdict) and entry.verified.works):
            return True
        return any(entry.id in names for names in self.categories.values())

    @property
    def known_categories(self) -> tuple[str, ...]:
        """The categories that have a Space, sorted."""
        listed = {category for category, names in self.categories.items() if names}
        return tuple(sorted(listed | {entry.category for entry in self.spaces.values()}))

    def alternates(self, entry: SpaceEntry) -> tuple[SpaceEntry, ...]:
        """The Spaces that stand in for a Space, which need not be here itself.

        Its own alternates, then the others of its categories.
        """
        own = [self.spaces[other] for other in entry.alternates if other in self.spaces]
        mine = [category for category, names in self.categories.items() if entry.id in names]
        found = [other for category in [*mine, entry.category] for other in self.in_category(category)]
        found = [other for other in found if self.may_stand_in(other)]
        return tuple({other.id: other for other in [*own, *found] if other.id != entry.id}.values())


EMPTY = Snapshot({}, {})
