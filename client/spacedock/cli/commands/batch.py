"""`spacedock batch`: many prompts, their results as they come, and picking up where it was left."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock._wire.lanes import Priority
from spacedock.batching.sources.line import ROW_ID, BadLinesError, BatchLine, few, places
from spacedock.batching.sources.source import read_lines
from spacedock.cli import options, preflight
from spacedock.cli.batching import checkpoint
from spacedock.cli.batching.carry_out import Batch, run_batch
from spacedock.cli.batching.checking import check_lines
from spacedock.cli.batching.results_file import LineName, read_rows
from spacedock.cli.exit_codes import DEGRADED, FAILED, STOPPED
from spacedock.cli.host_faults import Guard
from spacedock.cli.output.plan import lines
from spacedock.cli.output.text import say, say_degraded, write
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.files import Payload
from spacedock.prepare import prepare
from spacedock.request import JobRequest, Tier

_MOST_NAMES = 5
_ASKED = ("space", "category", "endpoint")
"""The options that tell batches of one source apart."""


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PROMPTS", help="A .jsonl, .json, .csv, .tsv or .txt file, a directory, or -."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where results go, one JSON line each; -: to standard output.",
        ),
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="The prompt of lines that have none.")] = "",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="A column or key to keep, not to send; repeatable."),
    ] = None,
    space: options.Space = None,
    category: options.Category = None,
    inputs: options.Inputs = None,
    endpoint: options.EndpointOption = None,
    timeout: options.Timeout = 300.0,
    no_fallback: options.NoFallback = False,
    allow_degraded: options.AllowDegraded = False,
    tier: options.TierOption = Tier.AUTO,
    privacy: options.Privacy = False,
    performance_first: options.PerformanceFirst = False,
    priority: options.PriorityOption = Priority.NORMAL,
    output_dir: options.OutputDir = None,
    keep: options.Keep = False,
    keep_for: options.KeepFor = None,
    dry_run: options.DryRun = False,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON lines.")] = False,
    redis: options.Redis = None,
) -> None:
    """Run many prompts. Ctrl-C stops watching only: run the same command again to pick up."""
    defaults = {"prompt": prompt, "space": space, "batch": True}
    defaults |= options.request_fields(
        category=category,
        inputs=inputs,
        endpoint=endpoint,
        timeout=timeout,
        no_fallback=no_fallback,
        tier=tier,
        privacy=privacy,
        performance_first=performance_first,
        priority=priority,
        keep_for=keep_for,
    )
    if source == "-" and sys.stdin.isatty():
        say("reading prompts from this terminal, one a line: Ctrl-D ends them")
    lines = read_lines(source, sys.stdin.buffer.read, label or ())
    for name in {*(label or ())}.difference(*(line.fields.get("labels", ()) for line in lines)):
        say(f"--label {name}: no line has that column or key")
    if output == Path("-"):
        output = None
    made = make(source, lines, defaults)
    made.output, made.output_dir, made.keep = output, output_dir, keep
    made.guard = Guard(allowed=allow_degraded)
    if dry_run:
        asyncio.run(_rehearse(redis, made, json=json))
        return
    identity = identity_of(source, lines, defaults, output)
    meter = asyncio.run(run_batch(redis, made, identity))
    meter.summarise(output)
    if made.guard.stopped:
        left = f"{meter.left} line{' has' if meter.left == 1 else 's have'}"
        again = "asks them again" if output else "asks all lines again, since there is no -o"
        made.guard.say_how_to_go_on(left, again)
        raise typer.Exit(STOPPED)
    if meter.failed:
        raise typer.Exit(FAILED)
    if meter.has_degraded and not allow_degraded:
        say_degraded()
        raise typer.Exit(DEGRADED)


def make(source: str, lines: list[BatchLine], defaults: dict[str, Any]) -> Batch:
    """Check every line before any is submitted. Raises BadLinesError with the numbers of the bad ones."""
    requests: dict[int, JobRequest] = {}
    problems = []
    repository: Payload | None = None
    for line in lines:
        fields = {**defaults, **line.fields}
        fields["inputs"] = {**defaults["inputs"], **line.fields.get("inputs", {})}
        try:
            request, payloads = prepare(fields.pop("prompt"), line.files, fields.pop("space"), fields)
        except BadRequestError as error:
            problems.append(f"line {line.number}: {error}")
            continue
        if not (request.asks or request.endpoint):
            problems.append(f"line {line.number}: the prompt is empty and there is no file or input")
            continue
        if request.inputs and not (request.prompt.strip() or request.files or _names_a_space(request)):
            given = ", ".join(list(request.inputs)[:_MOST_NAMES])
            problems.append(
                f"line {line.number}: it has inputs ({given}) and no prompt: name their Space with --space"
            )
            continue
        requests[line.number] = request
        repository = next((p for p in payloads if p.ref == request.repository), repository)
    if problems:
        raise BadLinesError(source, problems)
    known_by, files = checkpoint.identities(requests), {line.number: line.files for line in lines}
    batch = checkpoint.digest_of(place_of(source, lines), *(str(defaults.get(key)) for key in _ASKED))
    names = {
        n: LineName(n, known_by[n], files[n], request.labels.get(ROW_ID), batch)
        for n, request in requests.items()
    }
    return Batch(source, requests, names, repository)


def _names_a_space(request: JobRequest) -> bool:
    return bool(request.space or request.repository or request.category)


def identity_of(source: str, lines: list[BatchLine], defaults: dict[str, Any], output: Path | None) -> str:
    """What makes it the same batch: its source, its options, and where its results go."""
    return "\n".join(
        [place_of(source, lines), str(output.resolve()) if output else "-", repr(sorted(defaults.items()))]
    )


def place_of(source: str, lines: list[BatchLine]) -> str:
    """Where the lines come from; of standard input only they themselves tell."""
    return repr(lines) if source == "-" else str(Path(source).resolve())


async def _rehearse(url: str | None, made: Batch, *, json: bool) -> None:
    async with Client(url) as client:
        left = made.left(made.known(read_rows(made.output) if made.output else {}))
        preflight.say_directories({request.space for request in left.values() if request.space})
        await check_lines(client, made.source, left, made.repository, start=False)
        await rehearse(client, left, made.repository, json=json)


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
