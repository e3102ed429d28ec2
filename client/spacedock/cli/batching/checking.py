"""Whether the Spaces that the lines of a batch name take them, asked before any of them is sent."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from spacedock.batching.sources.line import BadLinesError, few, places
from spacedock.cli.output.text import say
from spacedock.client import Client
from spacedock.errors import BadRequestError, NoWorkerError, RefusedError, SpaceNotFoundError
from spacedock.files import Payload
from spacedock.request import Fallback, JobRequest

_MOST_SPACES = 20
_CHUNK, _CHUNK_BYTES = 250, 2**18
"""Lines that are judged at once, and the bytes of their prompts and inputs, about."""
_MOST_PLACES = 10


async def check_lines(
    client: Client,
    source: str,
    requests: Mapping[int, JobRequest],
    repository: Payload | None,
    *,
    start: bool = True,
) -> None:
    """Raise BadLinesError where the app of a Space that lines name does not take what they give.

    With `start`, a Space that has not run here is started for it if lines give inputs or an endpoint; where
    the app is not known, the lines themselves say what is wrong.
    """
    wrong: dict[str, list[int]] = {}
    for numbers in _by_space(requests)[:_MOST_SPACES]:
        lines = {number: requests[number] for number in numbers}
        payloads = [repository] if repository is not None and lines[numbers[0]].repository else []
        with suppress(NoWorkerError, RefusedError, BadRequestError, SpaceNotFoundError):
            for number, misfit in (await _misfits(client, lines, payloads, start=start)).items():
                wrong.setdefault(_with_remedy(misfit, lines[number]), []).append(number)
    if wrong:
        found = sorted(wrong.items(), key=lambda item: item[1])
        raise BadLinesError(source, [f"{few(places(n), _MOST_PLACES)}: {what}" for what, n in found])


def _by_space(requests: Mapping[int, JobRequest]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = {}
    for number, request in requests.items():
        if request.space or request.repository:
            repository = request.repository.sha256 if request.repository else None
            alike = request.space, repository, request.category, request.tier, request.privacy
            found.setdefault(alike, []).append(number)
    return list(found.values())


async def _misfits(
    client: Client, lines: Mapping[int, JobRequest], payloads: list[Payload], *, start: bool
) -> dict[int, str]:
    """What is known against lines of one Space, by their numbers."""
    asking = next((one for one in lines.values() if one.inputs or one.endpoint), None)
    if start and asking is not None and not _is_known(await client.plan(asking, payloads)):
        say("starting the Space, to see whether it takes the lines, before any is sent")
        explain = {"explain": True, "files": (), "fallback": Fallback.NONE}
        await client.result(await client.submit_prepared(asking.model_copy(update=explain), payloads))
    found: dict[int, str] = {}
    for numbers in _chunks(lines):
        alike = [lines[number] for number in numbers]
        misfits = (await client.plan(alike[0], payloads, alike=alike)).get("misfits")
        if not misfits:
            break
        told = zip(numbers, misfits, strict=False)
        found |= {number: misfit for number, misfit in told if misfit is not None}
    return found


def _is_known(plan: Mapping[str, Any]) -> bool:
    """Whether the app of the Space that is asked first is known; there may be none."""
    step: Mapping[str, Any] = next(iter(plan["steps"]), {})
    return step.get("kind") != "space" or any(step.get(key) is not None for key in ("mapping", "misfit"))


def _chunks(lines: Mapping[int, JobRequest]) -> Iterator[list[int]]:
    """The lines' numbers, few enough for one question; a line that fills one alone is not asked about."""
    chunk: list[int] = []
    size = 0
    for number, line in lines.items():
        own = len(line.prompt.encode()) + len(str(line.inputs).encode(errors="replace"))
        if own > _CHUNK_BYTES:
            continue
        if len(chunk) == _CHUNK or size + own > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(number)
        size += own
    if chunk:
        yield chunk


def _with_remedy(misfit: str, request: JobRequest) -> str:
    """What is wrong, below its line, and what to do about a column that the app has no input for."""
    said = misfit.replace("\n", "\n  ")
    foreign = [name for name in request.inputs if f"has no input '{name}'" in misfit]
    labels = " ".join(f"--label {shlex.quote(name)}" for name in foreign)
    return f"{said}\n    what only describes a line is kept with {labels}" if labels else said
