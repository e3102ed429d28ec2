"""What a batch would do, told without doing it: the plan of each kind of line, and the time for all."""

from __future__ import annotations

import json as json_module
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spacedock.batching.reading import Unsent
from spacedock.batching.sources.line import few, places
from spacedock.cli.output.plan import lines
from spacedock.cli.output.text import say, write
from spacedock.cli.output.units import age
from spacedock.client import Client
from spacedock.files import Payload
from spacedock.request import JobRequest

_MOST_PLACES = 10
_MOST, _MOST_NUMBERS = 20, 10_000
"""Kinds of lines that are planned: a plan asks the worker."""


@dataclass(slots=True)
class LineKind:
    """Lines that share a plan: the first one's request, how many there are, and their first numbers."""

    request: JobRequest
    repository: list[Payload]
    count: int = 0
    numbers: list[int] = field(default_factory=list)


class Rehearsal:
    """Collects the kinds of lines, then tells the plan of each."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, LineKind] = {}
        self._others = 0

    def add(self, unsent: Unsent, repository: list[Payload]) -> None:
        """Take a line in."""
        kind = kind_of(unsent.request)
        if kind not in self._kinds and len(self._kinds) == _MOST:
            self._others += 1
            return
        found = self._kinds.setdefault(kind, LineKind(unsent.request, repository))
        found.count += 1
        if len(found.numbers) < _MOST_NUMBERS:
            found.numbers.append(unsent.name.number)

    @property
    def spaces(self) -> set[str]:
        """The Spaces that lines name."""
        return {kind.request.space for kind in self._kinds.values() if kind.request.space}

    async def tell(self, client: Client, *, json: bool) -> None:
        """Print the plan of each kind of line, and run none. Raises what `Client.plan` raises."""
        seconds: float | None = 0.0
        for kind in self._kinds.values():
            plan = await client.plan(kind.request, kind.repository)
            own = _seconds(plan)
            seconds = None if own is None or seconds is None else seconds + own * kind.count
            if json:
                write(json_module.dumps({"lines": kind.numbers, **plan}))
            else:
                write(f"==> {few(places(kind.numbers), _MOST_PLACES)} <==")
                write("\n".join(lines(plan)))
        if self._others:
            say(f"and {self._others:,} lines of other kinds")
            seconds = None
        count = self._others + sum(kind.count for kind in self._kinds.values())
        if not count:
            say("nothing would be run: every line has a result")
            return
        say(f"nothing was run: without --dry-run {count:,} jobs would be{await _about(client, seconds)}")


async def _about(client: Client, seconds: float | None) -> str:
    if not seconds:
        return "; no time is known for them: `spacedock spaces profile NAME` measures a Space"
    hosts = [host for host in await client.hosts() if host.alive]
    slots = sum(max(1, host.containers) for host in hosts) or 1
    about = age(seconds / slots)
    return f", in about {about} on {len(hosts)} host{'' if len(hosts) == 1 else 's'} with {slots} containers"


def _seconds(plan: Mapping[str, Any]) -> float | None:
    """What one call takes of the first step that may answer, as measured; None where nothing is known."""
    step: Mapping[str, Any] = next((step for step in plan["steps"] if step.get("taken")), {})
    found = (step.get("expected") or {}).get("call")
    return None if found is None else float(found)


def kind_of(request: JobRequest) -> Hashable:
    """What the plan of a request depends on, apart from the prompt's words."""
    repository = request.repository.sha256 if request.repository else None
    files = tuple(sorted({ref.media_type.split("/")[0] for ref in request.files}))
    asked = (request.space, repository, request.category, request.endpoint, tuple(sorted(request.inputs)))
    return asked, files, request.tier, request.privacy, request.fallback, not request.prompt.strip()
