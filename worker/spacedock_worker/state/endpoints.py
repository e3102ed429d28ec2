"""What the apps of Spaces can do, kept so that a call can be judged while none of them runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.atomic_write import newest_first, write_whole
from spacedock_worker.caching import TimedCache

log = structlog.get_logger()

FOLDER = "endpoints"

_ENDPOINTS: TypeAdapter[tuple[Endpoint, ...]] = TypeAdapter(tuple[Endpoint, ...])
_KEPT_FILES = 2000
_LARGEST = 2 * 2**20


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
