"""`spacedock spaces profile`: what was measured of Spaces on the host that runs them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.output import table
from spacedock.cli.output.text import say, write, write_json
from spacedock.cli.output.units import ago, memory, sparkline, took
from spacedock.cli.preflight import asked
from spacedock.client import Client
from spacedock.replies.spaces import ImageProfile, SpaceProfile

_DIGEST = 19
_COLUMNS = ("name", "runs", "succeeded", "cold start", "call p50", "call p95", "memory", "last run")


def profile(
    name: Annotated[
        str | None, typer.Argument(help="A registry name or a Hub id; without one, all that have run.")
    ] = None,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Show what was measured of a Space: cold starts, calls, memory, success."""
    found = asked(redis, lambda client: _ask(client, name))
    if json:
        write_json(found if name is None else found[name])
    elif name is not None:
        _show(name, found[name])
    elif found:
        _table(found)
    else:
        say("no Space has run here yet: `spacedock run --space NAME …` measures as it runs")


async def _ask(client: Client, name: str | None) -> dict[str, SpaceProfile]:
    return await client.spaces.profiles() if name is None else {name: await client.spaces.profile(name)}


def _show(name: str, found: SpaceProfile) -> None:
    if not found["images"]:
        say(f"{name} has not run here yet: measure it with `spacedock spaces bench {name} --prompt …`")
        return
    write(name)
    for image in found["images"]:
        write(f"  image {_image(image)}, last run {ago(time.time() - image['last'])}")
        for word, text in _lines(image):
            write(f"    {word:<11} {text}")
    for line in found["advice"]:
        say(f"advice: {line}")


def _image(image: ImageProfile) -> str:
    return image["digest"][:_DIGEST] or "none: it never came to one"


def _lines(image: ImageProfile) -> Iterator[tuple[str, str]]:
    yield "runs", f"{image['runs']}, {image['success_rate']:.0%} succeeded"
    if image["starts"]:
        times = "once" if image["starts"] == 1 else f"{image['starts']} times"
        yield "cold start", f"p50 {took(image['start_p50'])}, longest {took(image['start_max'])} ({times})"
    if image["call_p50"] is not None:
        yield "call", f"p50 {took(image['call_p50'])}, p95 {took(image['call_p95'])}"
    if image["peak_memory"] is not None:
        share = image["peak_memory"] / image["memory_limit"]
        yield (
            "memory",
            f"{memory(image['peak_memory'])} of {memory(image['memory_limit'])} at most ({share:.0%})",
        )
    if image["errors"]:
        yield "errors", ", ".join(f"{count} {kind}" for kind, count in image["errors"].items())
    if image["calls"]:
        calls = [call["seconds"] if call["ok"] else None for call in image["calls"]]
        yield "last calls", f"{sparkline(calls, sys.stdout.encoding)}  (x: failed)"


def _table(found: dict[str, SpaceProfile]) -> None:
    rows = [_row(name, one["images"][0]) for name, one in sorted(found.items())]
    # Nothing is cut on a narrow terminal: the figures are what was asked for.
    table.show(_COLUMNS, rows, cut=False)


def _row(name: str, image: ImageProfile) -> tuple[str, ...]:
    return (
        name,
        str(image["runs"]),
        f"{image['success_rate']:.0%}",
        took(image["start_p50"]),
        took(image["call_p50"]),
        took(image["call_p95"]),
        memory(image["peak_memory"]),
        ago(time.time() - image["last"]),
    )
