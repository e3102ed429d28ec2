"""What a host has noted of its Spaces' images: which it pulled, when each was used, what its app can do."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from spacedock.request import OWN_PREFIX
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.atomic_write import newest_first, write_whole
from spacedock_worker.caching import TimedCache

log = structlog.get_logger()

FILE = "images.json"
BUNDLED_FILE = "bundled.json"
FOLDER = "endpoints"

_WRITE_SECONDS = 60.0
"""How exact the noted time of the last use is: a busy Space must not write the file at every call."""
_REMEMBERED = 4096

_ENDPOINTS: TypeAdapter[tuple[Endpoint, ...]] = TypeAdapter(tuple[Endpoint, ...])
_KEPT_FILES = 2000
_LARGEST = 2 * 2**20


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image by `reference` and `digest`: its last use (seconds since the epoch) and the Space it was for.

    `pulled` says that we brought it to this host; `endpoints` are the signatures of its app's endpoints,
    None where it has not run yet.
    """

    reference: str
    digest: str
    space: str = ""
    last_used: float = 0.0
    pulled: bool = False
    endpoints: tuple[str, ...] | None = None


_RECORD = TypeAdapter(ImageRecord)


@dataclass(slots=True)
class ImageUsage:
    """The notes in one file of the state directory; a file that is broken or gone costs what it said."""

    folder: Path
    now: Callable[[], float]
    _notes: dict[str, ImageRecord] = field(default_factory=dict)
    _written: dict[str, ImageRecord] = field(default_factory=dict)
    _stamp: int = 0
    _from_bundles: Mapping[str, ImageRecord] = field(default_factory=dict)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        rows = _read(self.folder / FILE)
        self._notes = {key: note for key, row in rows.items() if (note := _note(row)) is not None}
        self._written = dict(self._notes)

    def all(self) -> tuple[ImageRecord, ...]:
        """Every note, and one for each image that came in a bundle."""
        return (*self._notes.values(), *self._bundled().values())

    def newest(self) -> dict[str, str]:
        """The digest of the image that each Space used last, by the Space's id."""
        return {note.space: note.digest for note in sorted(self.all(), key=lambda note: note.last_used)}

    def endpoints(self, digest: str) -> tuple[str, ...] | None:
        """What the app of that image can do; None where it has not run here."""
        found = [note.endpoints for note in self._notes.values() if note.digest == digest and note.endpoints]
        return found[0] if found else None

    async def pulled(self, reference: str, digest: str) -> None:
        """Note that we brought an image to this host: only such images are ever removed from it."""
        await self._put(replace(self._of(reference, digest), pulled=True, last_used=self.now()))

    async def used(self, reference: str, digest: str, space: str) -> None:
        """Note that a job uses the image now.

        A Space that came with its job takes no image over from a Space of the registry.
        """
        note = self._of(reference, digest)
        kept = note.space if note.space and space.startswith(OWN_PREFIX) else space
        await self._put(replace(note, space=kept, last_used=self.now()))

    async def ran(self, reference: str, digest: str, endpoints: tuple[str, ...]) -> None:
        """Note what the image's app can do, as it said itself."""
        await self._put(replace(self._of(reference, digest), endpoints=endpoints))

    async def forget(self, keep: Callable[[ImageRecord], bool]) -> None:
        """Drop the notes of images that are gone."""
        self._notes = {key: note for key, note in self._notes.items() if keep(note)}
        await self._write()

    def bundled(self) -> Mapping[str, str]:
        """The ids of images that came in bundles, by the digest that they had where they came from."""
        return {digest: note.digest for digest, note in self._bundled().items()}

    def add_bundled(self, reference: str, digest: str, image: str) -> None:
        """Note an image that came in a bundle, from a process of its own; blocks. Raises OSError."""
        note = ImageRecord(reference, image, last_used=self.now(), pulled=True)
        rows = {**_read(self.folder / BUNDLED_FILE), digest: asdict(note)}
        write_whole(self.folder / BUNDLED_FILE, _text(rows))

    def _bundled(self) -> Mapping[str, ImageRecord]:
        path = self.folder / BUNDLED_FILE
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        if stamp != self._stamp:
            rows = {digest: _note(row) for digest, row in _read(path).items()}
            self._stamp = stamp
            self._from_bundles = {digest: note for digest, note in rows.items() if note is not None}
        return self._from_bundles

    def _of(self, reference: str, digest: str) -> ImageRecord:
        return self._notes.get(f"{reference} {digest}") or ImageRecord(reference, digest)

    async def _put(self, note: ImageRecord) -> None:
        key = f"{note.reference} {note.digest}"
        self._notes[key] = note
        before = self._written.get(key)
        if before is None or note.last_used - before.last_used > _WRITE_SECONDS or _news(before, note):
            await self._write()

    async def _write(self) -> None:
        async with self._writing:
            newest = sorted(self._notes.items(), key=lambda item: item[1].last_used)[-_REMEMBERED:]
            self._written = dict(newest)
            rows = {key: asdict(note) for key, note in newest}
            try:
                await asyncio.to_thread(write_whole, self.folder / FILE, _text(rows))
            except OSError as error:
                # An image's use is worth less than the job that uses it.
                log.warning("images.not_noted", reason=str(error))


def _text(rows: Mapping[str, Any]) -> bytes:
    return json.dumps(rows, indent=1, sort_keys=True).encode()


def _news(before: ImageRecord, after: ImageRecord) -> bool:
    """Whether something beyond the time has changed."""
    return replace(before, last_used=0.0) != replace(after, last_used=0.0)


def _read(path: Path) -> dict[str, Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return rows if isinstance(rows, dict) else {}


def _note(row: Any) -> ImageRecord | None:
    try:
        return _RECORD.validate_python(row)
    except ValidationError:
        return None


class EndpointStore:
    """One file for each app in a folder of the state directory; what cannot be read is not known.

    `app` is what `SpaceEntry.app` gives.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._known: TimedCache[tuple[Endpoint, ...]] = TimedCache()

    def get(self, app: str) -> tuple[Endpoint, ...] | None:
        """The app's endpoints; None where it has not run here. Reads a file at most."""
        known = self._known.get(app)
        if known is not None:
            return known
        try:
            known = _ENDPOINTS.validate_json(self._path(app).read_bytes())
        except (OSError, ValidationError):
            return None
        self._known.put(app, known)
        return known

    async def put(self, app: str, endpoints: tuple[Endpoint, ...]) -> None:
        """Note what the app can do, as it said itself."""
        if self.get(app) == endpoints:
            return
        self._known.put(app, endpoints)
        try:
            await asyncio.to_thread(self._write, app, endpoints)
        except (OSError, ValueError) as error:
            # A note is worth less than the job that it is about.
            log.warning("endpoints.not_noted", app=app, reason=str(error))

    def _write(self, app: str, endpoints: tuple[Endpoint, ...]) -> None:
        data = json.dumps(_ENDPOINTS.dump_python(endpoints, mode="json")).encode()
        if len(data) > _LARGEST:
            # An app can describe itself at any length.
            raise ValueError(f"{len(data)} bytes")
        write_whole(self._path(app), data)
        for _, old in newest_first(self._folder)[_KEPT_FILES:]:
            old.unlink(missing_ok=True)

    def _path(self, app: str) -> Path:
        return self._folder / f"{hashlib.sha256(app.encode()).hexdigest()}.json"
