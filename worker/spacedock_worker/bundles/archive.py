"""A bundle as a file: a tar with a manifest and its digest at the end, whole under its name or not there."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from spacedock._wire.wire import describe
from spacedock.errors import SpacedockError
from spacedock.request import SPACE_NAME
from spacedock_worker.registry.entry import SpaceEntry

VERSION = 2
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
    """What a bundle has; the member before the last."""

    version: int
    images: tuple[BundledImage, ...]
    spaces: tuple[BundledSpace, ...]
    members: dict[str, Member] = Field(default_factory=dict)

    def needed(self) -> set[str]:
        """The members that the Spaces need."""
        named = {name for space in self.spaces for name in (space.repository, space.cache) if name}
        return named | ({IMAGES} if self.images else set())


MANIFEST, MANIFEST_DIGEST = "manifest.json", "manifest.json.sha256"
"""The last members: the manifest, and a line as `sha256sum` writes it, which nothing else could vouch for."""

_MEMBER = re.compile(r"images\.tar|repositories/[0-9a-f]{64}\.tar|caches/\d{1,6}\.tar")
_MANIFEST_BYTES = 64 * 2**20
_BLOCK = 512
_CHUNK = 2**20

OnBytes = Callable[[int], None]


class BrokenBundleError(SpacedockError):
    """A file is no whole bundle; nothing of it was used."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} is no whole bundle: {why}. Nothing was changed. Copy it again.")


class BundleWriter:
    """Writes a bundle beside its name, and gives it its name once it is whole; blocks while it writes."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._members: dict[str, Member] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        # Passwords of apps' login pages are in it, as in the registry.
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)

    @property
    def count(self) -> int:
        """How many members it has."""
        return len(self._members)

    def has(self, name: str) -> bool:
        """Whether there is a member of that name."""
        return name in self._members

    async def add(self, name: str, chunks: AsyncIterator[bytes], on_bytes: OnBytes) -> None:
        """Append a member; its size is written into its header once it is known."""
        file = self._opened()
        start, digest, size = file.tell(), hashlib.sha256(), 0
        file.write(_header(name, 0))
        async for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            on_bytes(size)
        file.write(bytes(-size % _BLOCK))
        file.seek(start)
        file.write(_header(name, size))
        file.seek(0, os.SEEK_END)
        self._members[name] = Member(size=size, sha256=digest.hexdigest())

    def finish(self, manifest: BundleManifest) -> None:
        """Append the manifest, and put the bundle under its name."""
        file = self._opened()
        text = manifest.model_copy(update={"members": self._members}).model_dump_json(indent=1).encode()
        for name, content in ((MANIFEST, text), (MANIFEST_DIGEST, _digest_line(text))):
            file.write(_header(name, len(content)) + content + bytes(-len(content) % _BLOCK))
        file.write(bytes(2 * _BLOCK))
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._part.replace(self._path)
        self._file = None

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError("the bundle is not open")
        return self._file


@dataclass(frozen=True, slots=True)
class BundleReader:
    """A bundle that was found to be whole."""

    path: Path
    manifest: BundleManifest
    _places: dict[str, tuple[int, int]]

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, piece by piece; blocks."""
        offset, size = self._places[name]
        return _chunks(self.path, offset, size)


def opened(path: Path, on_bytes: OnBytes) -> BundleReader:
    """Read the whole file once, and compare it with its manifest; blocks. Raises BrokenBundleError."""
    try:
        places = _places(path)
        manifest = BundleManifest.model_validate_json(_manifest_text(path, places))
    except ValidationError as error:
        raise BrokenBundleError(path, f"its manifest is wrong ({describe(error)})") from None
    except (tarfile.TarError, EOFError) as error:
        raise BrokenBundleError(path, f"it breaks off, or is no tar ({error})") from error
    except OSError as error:
        raise SpacedockError(f"{path} cannot be read: {error.strerror or error}") from error
    if manifest.version != VERSION:
        raise BrokenBundleError(path, f"it has version {manifest.version}, and this side reads {VERSION}")
    if places.keys() != manifest.members.keys() or not manifest.needed() <= places.keys():
        raise BrokenBundleError(path, "its members are not those of its manifest")
    _compare(path, places, manifest, on_bytes)
    return BundleReader(path, manifest, places)


def _manifest_text(path: Path, places: dict[str, tuple[int, int]]) -> bytes:
    """The text of the manifest, which is taken out of the `places`. Raises BrokenBundleError."""
    offset, size = places.pop(MANIFEST, (0, 0))
    if not 0 < size <= _MANIFEST_BYTES:
        raise BrokenBundleError(path, "it has no manifest, so its end is missing")
    text = b"".join(_chunks(path, offset, size))
    if MANIFEST_DIGEST not in places:
        raise BrokenBundleError(path, "its end is missing, or an earlier version made it")
    offset, size = places.pop(MANIFEST_DIGEST)
    if size != len(line := _digest_line(text)) or b"".join(_chunks(path, offset, size)) != line:
        raise BrokenBundleError(path, f"{MANIFEST} is not what was bundled")
    return text


def _digest_line(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Where each member's bytes are; a name that is not one of ours is refused."""
    places: dict[str, tuple[int, int]] = {}
    with tarfile.open(path, mode="r:") as archive:
        for member in archive:
            known = member.name in (MANIFEST, MANIFEST_DIGEST) or _MEMBER.fullmatch(member.name)
            if not known or not member.isreg() or member.issparse() or member.name in places:
                raise BrokenBundleError(path, f"it has the member {member.name!r}")
            places[member.name] = (member.offset_data, member.size)
    return places


def _compare(
    path: Path, places: dict[str, tuple[int, int]], manifest: BundleManifest, on_bytes: OnBytes
) -> None:
    done = 0
    for name, (offset, size) in places.items():
        digest, member = hashlib.sha256(), manifest.members[name]
        try:
            for chunk in _chunks(path, offset, size):
                digest.update(chunk)
                done += len(chunk)
                on_bytes(done)
        except EOFError as error:
            raise BrokenBundleError(path, "it breaks off") from error
        if (size, digest.hexdigest()) != (member.size, member.sha256):
            raise BrokenBundleError(path, f"{name} is not what was bundled")


def _chunks(path: Path, offset: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while size > 0:
            chunk = file.read(min(_CHUNK, size))
            if not chunk:
                raise EOFError("the file ends too early")
            size -= len(chunk)
            yield chunk


def _header(name: str, size: int) -> bytes:
    """One block, however large the member: GNU's format has room for any size, so it can be written again."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry.tobuf(tarfile.GNU_FORMAT)
