"""Whether an app that has run here takes a job's call, known without starting it."""

from __future__ import annotations

from collections.abc import Sequence

from spacedock.request import JobRequest
from spacedock_worker.adapters.binding.choose import MANY, breadth, choose
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.errors import StepError
from spacedock_worker.jobs.plan import Fits, is_final
from spacedock_worker.jobs.space_spec import unread_call_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.endpoints import EndpointStore
from spacedock_worker.state.image_usage import ImageUsage

_REFUSED = "its app does not take this call"
_LONGEST = 300
_MOST_JUDGED = 100_000
"""Endpoints and inputs that are looked through for the lines of a batch: in a thread, about a second."""


class Compatibility:
    """Judges Spaces by what their apps said of themselves when they last ran here."""

    def __init__(self, notes: ImageUsage, endpoints: EndpointStore) -> None:
        self._notes, self._endpoints = notes, endpoints

    def of(self, request: JobRequest) -> Fits:
        """The judgement for one job. It reads a small file for each Space at most."""
        newest: dict[str, str] = {}
        for note in sorted(self._notes.all(), key=lambda note: note.last_used):
            newest[note.space] = note.digest
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
                choose(endpoints, unread_call_of(entry, request))
            except StepError as error:
                # In privacy mode nothing tells what an app said, be it the names of its endpoints.
                return _REFUSED if request.privacy else f"{_REFUSED}: {str(error)[:_LONGEST]}"
            return None

        return fits


def misfits_of(
    entry: SpaceEntry, endpoints: Sequence[Endpoint], requests: Sequence[JobRequest]
) -> list[str | None]:
    """What an app has against each of the requests that nobody else may answer; of many the first."""
    judged: list[str | None] = []
    for request in requests[: _MOST_JUDGED // breadth(endpoints)]:
        try:
            choose(endpoints, unread_call_of(entry, request))
        except StepError as error:
            judged.append(str(error) if is_final(request, entry) else None)
        else:
            judged.append(None)
    return judged
