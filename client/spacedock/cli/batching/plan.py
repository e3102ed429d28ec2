"""`spacedock batch --dry-run`: what would become of the lines, one plan for all that are alike."""

from __future__ import annotations

import json as json_module
import shlex
from collections.abc import Hashable, Mapping
from typing import Any

from spacedock.cli.batching.line import BadLinesError
from spacedock.cli.output.plan import lines
from spacedock.cli.output.text import say, write
from spacedock.client import Client
from spacedock.errors import BadRequestError, NoWorkerError, RefusedError, SpaceNotFoundError
from spacedock.files import Payload
from spacedock.request import Fallback, JobRequest

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
            write(f"==> {_words(numbers)} <==")
            write("\n".join(lines(plan)))
    if len(kinds) > _MOST:
        say(f"and {len(kinds) - _MOST:,} more kinds of lines")
    say(f"nothing was run: without --dry-run {len(requests):,} jobs would be")


async def check_inputs(
    client: Client, source: str, requests: Mapping[int, JobRequest], repository: Payload | None
) -> None:
    """Ask the named Space whether it has the inputs and endpoint that the lines give, before any is sent.

    A Space that has not run here is started for it; one that cannot tell is asked by the lines themselves.
    Raises BadLinesError.
    """
    problems = []
    for numbers in alike(requests)[:_MOST]:
        first = requests[numbers[0]]
        if not (first.inputs or first.endpoint) or not (first.space or first.repository):
            continue
        payloads = [repository] if repository is not None and repository.ref == first.repository else []
        if misfit := await _misfit(client, first, payloads):
            problems.append(f"{_words(numbers)}: {_with_remedy(misfit, first)}")
    if problems:
        raise BadLinesError(source, problems)


def _with_remedy(misfit: str, request: JobRequest) -> str:
    """What is wrong, below its line, and what to do about a column that the app has no input for."""
    said = misfit.replace("\n", "\n  ")
    foreign = [name for name in request.inputs if f"has no input '{name}'" in misfit]
    labels = " ".join(f"--label {shlex.quote(name)}" for name in foreign)
    return f"{said}\n    what only describes a line is kept with {labels}" if labels else said


async def _misfit(client: Client, request: JobRequest, payloads: list[Payload]) -> str | None:
    """What the Space's app has against the call; None where nothing is known against it."""
    try:
        step = await _first_step(client, request, payloads)
        if step.get("kind") == "space" and step.get("mapping") is None and step.get("misfit") is None:
            asking = {"explain": True, "files": (), "fallback": Fallback.NONE}
            await client.result(await client.submit_prepared(request.model_copy(update=asking), payloads))
            step = await _first_step(client, request, payloads)
    except (NoWorkerError, RefusedError, BadRequestError, SpaceNotFoundError):
        # The jobs themselves say what is wrong.
        return None
    return step.get("misfit")


async def _first_step(client: Client, request: JobRequest, payloads: list[Payload]) -> dict[str, Any]:
    steps = (await client.plan(request, payloads))["steps"]
    return dict(steps[0]) if steps else {}


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


def _words(numbers: list[int]) -> str:
    more = len(numbers) - 1
    return f"line {numbers[0]}" + (f" and {more:,} like it" if more else "")
