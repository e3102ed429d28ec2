"""`spacedock batch --dry-run`: what would become of the lines, one plan for all that are alike."""

from __future__ import annotations

import json as json_module
from collections.abc import Hashable, Mapping

from spacedock.cli.batching.line import few, places
from spacedock.cli.output.plan import lines
from spacedock.cli.output.text import say, write
from spacedock.client import Client
from spacedock.files import Payload
from spacedock.request import JobRequest

_MOST_PLACES = 10
_MOST = 20
"""Kinds of lines that are planned: a plan asks the worker."""


async def rehearse(
    client: Client, requests: Mapping[int, JobRequest], repository: Payload | None, *, json: bool
) -> None:
    """Print the plan of each kind of line, and run none. Raises what `Client.plan` raises."""
    kinds = alike(requests)
    for numbers in kinds[:_MOST]:
        first = requests[numbers[0]]
        payloads = [repository] if repository is not None and repository.ref == first.repository else []
        plan = await client.plan(first, payloads)
        if json:
            write(json_module.dumps({"lines": numbers, **plan}))
        else:
            write(f"==> {few(places(numbers), _MOST_PLACES)} <==")
            write("\n".join(lines(plan)))
    if len(kinds) > _MOST:
        say(f"and {len(kinds) - _MOST:,} more kinds of lines")
    say(f"nothing was run: without --dry-run {len(requests):,} jobs would be")


def alike(requests: Mapping[int, JobRequest]) -> list[list[int]]:
    """The numbers of the lines by what their plans depend on, apart from the prompt's words."""
    kinds: dict[Hashable, list[int]] = {}
    for number, request in requests.items():
        kinds.setdefault(_kind(request), []).append(number)
    return list(kinds.values())


def _kind(request: JobRequest) -> Hashable:
    repository = request.repository.sha256 if request.repository else None
    files = tuple(sorted({ref.media_type.split("/")[0] for ref in request.files}))
    asked = (request.space, repository, request.category, request.endpoint, tuple(sorted(request.inputs)))
    return asked, files, request.tier, request.privacy, request.fallback, not request.prompt.strip()
