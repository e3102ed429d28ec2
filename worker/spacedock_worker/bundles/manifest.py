"""What a bundle says of itself: its members with their digests, its images, its Spaces (values)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spacedock.request import SPACE_NAME
from spacedock_worker.registry.entry import SpaceEntry

VERSION = 1
IMAGES = "images.tar"

_SHA256 = r"^[0-9a-f]{64}$"
_DIGEST = r"^sha256:[0-9a-f]{64}$"
_REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,300}$"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Member(_Value):
    """A member's size in bytes, and its content's SHA-256."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=_SHA256)


class BundledImage(_Value):
    """An image by its id, the reference that it gets, and the digest that it had where it came from."""

    id: str = Field(pattern=_DIGEST)
    reference: str = Field(pattern=_REFERENCE)
    digest: str = Field(pattern=_DIGEST)


class BundledSpace(_Value):
    """A Space: its registry entry (without the paths of the host that it comes from), and its members."""

    name: str
    entry: dict[str, Any]
    image: str = Field(pattern=_DIGEST)
    repository: str | None = None
    cache: str | None = None

    @field_validator("name")
    @classmethod
    def _names_a_space(cls, name: str) -> str:
        if not SPACE_NAME.fullmatch(name):
            raise ValueError("is no name of a Space")
        return name

    @field_validator("entry")
    @classmethod
    def _is_an_entry(cls, entry: dict[str, Any]) -> dict[str, Any]:
        if "repository" in entry:
            raise ValueError("names a path")
        SpaceEntry.model_validate({"id": "x", **entry})
        return entry


class BundleManifest(_Value):
    """The last member of a bundle."""

    version: int
    images: tuple[BundledImage, ...]
    spaces: tuple[BundledSpace, ...]
    members: dict[str, Member] = Field(default_factory=dict)

    def needed(self) -> set[str]:
        """The members that the Spaces need."""
        named = {name for space in self.spaces for name in (space.repository, space.cache) if name}
        return named | ({IMAGES} if self.images else set())
