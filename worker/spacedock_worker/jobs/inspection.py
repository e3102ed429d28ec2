"""What this host knows of a Space without getting, starting or calling it: one look for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spacedock.request import JobRequest
from spacedock_worker.adapters.binding.choose import MANY, breadth, choose
from spacedock_worker.adapters.endpoint import Endpoint
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.containers.pool.view import PoolView, SpaceStatus
from spacedock_worker.errors import StepError
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.plan import Fits, is_final
from spacedock_worker.jobs.space_spec import unread_call_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy

_REFUSED = "its app does not take this call"
_LONGEST = 300
_MOST_JUDGED = 100_000
"""Endpoints and inputs that are looked through for the lines of a batch: in a thread, about a second."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of one Space here: its `image`, the `endpoints` of its app, and how its containers stand.

    `trouble` is why the image could not be looked for. The endpoints are there once the image has run here.
    """

    entry: SpaceEntry
    image: Image | None
    trouble: StepError | EngineRefusedError | None
    endpoints: tuple[Endpoint, ...]
    status: SpaceStatus

    def misfits(self, requests: Sequence[JobRequest]) -> list[str | None]:
        """What the app has against each of the requests that nobody else may answer; of many the first.

        Empty where the app is not known. Takes time: run it in a thread.
        """
        if not self.endpoints:
            return []
        judged: list[str | None] = []
        for request in requests[: _MOST_JUDGED // breadth(self.endpoints)]:
            refusal = _refusal(self.entry, self.endpoints, request)
            judged.append(str(refusal) if refusal and is_final(request, self.entry) else None)
        return judged


class Inspector:
    """Looks at the images, the containers and the notes of this host."""

    def __init__(self, policy: ImagePolicy, pool_view: PoolView[Any]) -> None:
        self._policy, self._pool_view = policy, pool_view

    async def look(self, entry: SpaceEntry, repository: bytes | None = None) -> Inspection:
        """What is known of the Space now; `repository` came with its job. Asks the engine alone."""
        image, trouble = None, None
        try:
            image = await self._policy.here(entry, repository)
        except (StepError, EngineRefusedError) as error:
            trouble = error
        endpoints = self._policy.known_endpoints(entry, image.digest) if image is not None else None
        status = self._pool_view.status().get(entry.id, SpaceStatus())
        return Inspection(entry, image, trouble, endpoints or (), status)


def fits_of(policy: ImagePolicy, request: JobRequest) -> Fits:
    """Why a Space does not take the job's call, by what its app said when it last ran here.

    Asks no engine; reads a small file for each Space at most.
    """
    known = policy.last_endpoints()
    left = MANY

    def fits(entry: SpaceEntry) -> str | None:
        nonlocal left
        endpoints = known(entry)
        if endpoints is not None and (left := left - breadth(endpoints)) < 0:
            # An app that describes itself at such length is judged when it is called.
            return None
        if endpoints is None or entry.adapter == "command" or entry.operation is not None:
            return None
        refusal = _refusal(entry, endpoints, request)
        if refusal is None:
            return None
        # In privacy mode nothing tells what an app said, be it the names of its endpoints.
        return _REFUSED if request.privacy else f"{_REFUSED}: {str(refusal)[:_LONGEST]}"

    return fits


def _refusal(entry: SpaceEntry, endpoints: Sequence[Endpoint], request: JobRequest) -> StepError | None:
    try:
        choose(endpoints, unread_call_of(entry, request))
    except StepError as error:
        return error
    return None
