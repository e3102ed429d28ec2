"""Whether the Spaces that the lines of a batch name take them, asked before any of them is sent."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from spacedock.batching.batch_client import BatchClient
from spacedock.batching.sources.line import few, places
from spacedock.errors import BadRequestError, NoWorkerError, RefusedError, SpaceNotFoundError
from spacedock.files import Payload
from spacedock.request import Fallback, JobRequest

_MOST_SPACES = 20
_CHUNK, _CHUNK_BYTES = 250, 2**18
"""Lines that are judged at once, and the bytes of their prompts and inputs, about."""
_MOST_PLACES, _MOST_NUMBERS, _MOST_PROBLEMS = 10, 10_000, 1000


@dataclass(slots=True)
class _Group:
    """Lines of one Space that wait for the next question; `dead` where nothing can be known of its app."""

    payloads: Sequence[Payload]
    waiting: dict[int, JobRequest] = field(default_factory=dict)
    size: int = 0
    started: bool = False
    dead: bool = False


class AppCheck:
    """Holds lines against the apps of their Spaces, some hundred at once, and remembers what is wrong.

    With `start`, a Space that has not run here is started for it if lines give inputs or an endpoint; where
    the app is not known, the lines themselves say what is wrong.
    """

    def __init__(self, client: BatchClient, tell: Callable[[str], None], *, start: bool = True) -> None:
        self._client, self._tell, self._start = client, tell, start
        self._groups: dict[Hashable, _Group] = {}
        self._wrong: dict[str, list[int]] = {}

    async def add(self, number: int, request: JobRequest, repository: Sequence[Payload]) -> None:
        """Take a line in; it is judged with others of its Space."""
        if not (request.space or request.repository):
            return
        packed = request.repository.sha256 if request.repository else None
        alike = request.space, packed, request.category, request.tier, request.privacy
        if alike not in self._groups and len(self._groups) == _MOST_SPACES:
            return
        group = self._groups.setdefault(alike, _Group(repository))
        own = len(request.prompt.encode()) + len(str(request.inputs).encode(errors="replace"))
        # A line that fills a question alone is not asked about.
        if group.dead or own > _CHUNK_BYTES:
            return
        if len(group.waiting) == _CHUNK or group.size + own > _CHUNK_BYTES:
            await self._judge(group)
        group.waiting[number] = request
        group.size += own

    async def problems(self) -> list[str]:
        """What is wrong, each with its lines, once all were taken in."""
        for group in self._groups.values():
            await self._judge(group)
        found = sorted(self._wrong.items(), key=lambda item: item[1])
        return [f"{few(places(numbers), _MOST_PLACES)}: {what}" for what, numbers in found]

    async def _judge(self, group: _Group) -> None:
        lines, group.waiting, group.size = group.waiting, {}, 0
        if group.dead or not lines:
            return
        misfits: list[str | None] = []
        with suppress(NoWorkerError, RefusedError, BadRequestError, SpaceNotFoundError):
            await self._know(group, lines)
            alike = list(lines.values())
            plan = await self._client.plan(alike[0], group.payloads, alike=alike)
            misfits = plan.get("misfits") or []
        group.dead = not misfits
        for (number, request), misfit in zip(lines.items(), misfits, strict=False):
            if misfit is not None:
                self._note(number, _with_remedy(misfit, request))

    def _note(self, number: int, problem: str) -> None:
        if problem not in self._wrong and len(self._wrong) == _MOST_PROBLEMS:
            return
        numbers = self._wrong.setdefault(problem, [])
        if len(numbers) < _MOST_NUMBERS:
            numbers.append(number)

    async def _know(self, group: _Group, lines: Mapping[int, JobRequest]) -> None:
        """Start the Space if lines give inputs or an endpoint and its app is not known."""
        asking = next((one for one in lines.values() if one.inputs or one.endpoint), None)
        if not self._start or group.started or asking is None:
            return
        group.started = True
        if not _is_known(await self._client.plan(asking, group.payloads)):
            self._tell("starting the Space, to see whether it takes the lines, before any is sent")
            explain = {"explain": True, "files": (), "fallback": Fallback.NONE}
            probe = asking.model_copy(update=explain)
            await self._client.result(await self._client.submit_prepared(probe, group.payloads))


def _is_known(plan: Mapping[str, Any]) -> bool:
    """Whether the app of the Space that is asked first is known; there may be none."""
    step: Mapping[str, Any] = next(iter(plan["steps"]), {})
    return step.get("kind") != "space" or any(step.get(key) is not None for key in ("mapping", "misfit"))


def _with_remedy(misfit: str, request: JobRequest) -> str:
    """What is wrong, below its line, and what to do about a column that the app has no input for."""
    said = misfit.replace("\n", "\n  ")
    foreign = [name for name in request.inputs if f"has no input '{name}'" in misfit]
    labels = " ".join(f"--label {shlex.quote(name)}" for name in foreign)
    return f"{said}\n    what only describes a line is kept with {labels}" if labels else said
