"""Whether an app that has run here takes a job's call, known without starting it."""

from __future__ import annotations

from spacedock.files import Payload
from spacedock.request import JobRequest
from spacedock_worker.adapters.binding.choose import MANY, breadth, choose
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.plan import Fits
from spacedock_worker.jobs.space_spec import call_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.endpoints import EndpointStore
from spacedock_worker.state.image_usage import ImageUsage

_REFUSED = "its app does not take this call"
_LONGEST = 300


class Compatibility:
    """Judges Spaces by what their apps said of themselves when they last ran here."""

    def __init__(self, notes: ImageUsage, endpoints: EndpointStore) -> None:
        self._notes, self._endpoints = notes, endpoints

    def of(self, request: JobRequest) -> Fits:
        """The judgement for one job. It reads a small file for each Space at most."""
        newest: dict[str, str] = {}
        for note in sorted(self._notes.all(), key=lambda note: note.last_used):
            newest[note.space] = note.digest
        files = tuple(Payload(ref, b"") for ref in request.files)
        left = MANY

        def fits(entry: SpaceEntry) -> str | None:
            nonlocal left
            digest = newest.get(entry.id)
            endpoints = self._endpoints.get(entry.app(digest)) if digest is not None else None
            if endpoints is not None and (left := left - breadth(endpoints)) < 0:
                # An app that describes itself at such length is judged when it is called.
                return None
            if endpoints is None or entry.adapter == "command" or entry.operation is not None:
                return None
            try:
                choose(endpoints, call_of(entry, request, files))
            except StepError as error:
                # In privacy mode nothing tells what an app said, be it the names of its endpoints.
                return _REFUSED if request.privacy else f"{_REFUSED}: {str(error)[:_LONGEST]}"
            return None

        return fits
